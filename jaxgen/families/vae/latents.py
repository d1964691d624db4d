"""The seam of all VAEs: latents inferred from pictures and drawn from the prior, in one stochastic layer or several."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.errors import UserError
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.nn.conditions import Condition
from jaxgen.ops.distributions import (
    PixelDistribution,
    kl_to_standard_normal,
    normal_entropy,
    normal_log_density,
    reparameterised,
)
from jaxgen.types import Key, Params

Shape = tuple[int, int, int]


class Inferred(NamedTuple):
    """One sample of the posterior for each row, through L stochastic layers, the one drawn first in generation first.

    `log_q` and `log_p` [L, B] nats: the densities of each layer's latent under the posterior and the prior, given the
    layers that it depends on. `kl` [L, B] nats estimates their expected difference, by closed forms where there are.
    """

    likelihood: PixelDistribution  # p(picture | latents), arrays [B, H, W, C, ...]
    log_q: jax.Array
    log_p: jax.Array
    kl: jax.Array
    means: jax.Array  # [B, Z]: the posteriors' means, all layers' one after another
    noise: tuple[jax.Array, ...]  # [B, ...] each: from which `decode` makes these very latents


class Latents(Protocol):
    """An encoder and a decoder that fit each other. `keys` [B] draw noise, a row its own; `dropping` [B] dropout."""

    encoder: nn.Module
    decoder: nn.Module
    prior: Prior | None

    def sized(self, image: Shape, levels: int) -> "Latents":
        """With the sizes that the data decide; UserError when they do not suit."""

    def init(self, key: Key, picture: jax.Array, condition: Condition | None) -> dict[str, Params]: ...

    def encode(
        self, params: Params, picture: jax.Array, condition: Condition | None, dropping: jax.Array | None = None
    ) -> Any:
        """What the posterior needs of pictures [B, H, W, C] in [-1, 1], whatever is drawn: arrays [B, ...]."""

    def infer(
        self,
        params: Params,
        encoded: Any,
        condition: Condition | None,
        keys: jax.Array,
        dropping: jax.Array | None = None,
    ) -> Inferred:
        """A sample of the posterior."""

    def noise(self, keys: jax.Array) -> tuple[jax.Array, ...]:
        """Standard normal numbers [B, ...] of each stochastic layer, the one drawn first in generation first."""

    def decode(
        self,
        params: Params,
        condition: Condition | None,
        noise: tuple[jax.Array, ...],
        temperature: jax.Array | float = 1.0,
    ) -> PixelDistribution:
        """p(picture | latents) of the latents that the prior makes of `noise`, scaled by `temperature`."""


@runtime_checkable
class Joining(Protocol):
    """A decoder that says itself how it goes together with an encoder and a prior."""

    def joined(self, encoder: nn.Module, prior: Prior | None) -> Latents:
        """UserError where they do not fit."""


def latents_of(encoder: nn.Module, decoder: nn.Module, prior: Prior | None) -> Latents:
    return decoder.joined(encoder, prior) if isinstance(decoder, Joining) else OneLayer(encoder, decoder, prior)


def folded_keys(keys: jax.Array, number: int) -> jax.Array:
    """[B] keys of layer `number`'s own."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def noise_of(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """[B, *shape] standard normal numbers."""
    return jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(keys)


def prior_log_prob(prior: Prior | None, params: Params, z: jax.Array, condition: Condition | None) -> jax.Array:
    """[B] nats: log p(z | condition) of z [B, Z]; without a learned prior that of a standard normal distribution."""
    if prior is None:
        return normal_log_density(z, jnp.zeros_like(z), jnp.zeros_like(z))
    return prior.apply({"params": params["prior"]}, z, condition, method="log_prob")


def prior_sample(
    prior: Prior | None, params: Params, noise: jax.Array, condition: Condition | None
) -> jax.Array:
    """[B, Z] of standard normal noise."""
    return noise if prior is None else prior.apply({"params": params["prior"]}, noise, condition, method="from_base")


def prior_noise(prior: Prior | None, params: Params, z: jax.Array, condition: Condition | None) -> jax.Array:
    """Undo `prior_sample`."""
    return z if prior is None else prior.apply({"params": params["prior"]}, z, condition, method="to_base")[0]


def standardised(z: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """Undo `reparameterised`: the standard normal noise that makes `z` of N(mean, std^2)."""
    return (z - mean) * jnp.exp(-log_std)


def check_prior(prior: Prior | None, latent: int) -> None:
    """UserError where a learned prior has fewer latent numbers than it needs."""
    if prior is not None and prior.layers and latent < 2:
        raise UserError("prior.layers couples halves of the latent; give decoder.latent at least 2, or 0 layers")


class Posterior(NamedTuple):
    """A diagonal normal distribution for each row: arrays [B, Z]."""

    mean: jax.Array
    log_std: jax.Array


@dataclass(frozen=True)
class OneLayer:
    """q(z | picture) by the encoder, p(picture | z) by the decoder, p(z) by the prior (arXiv 1312.6114)."""

    encoder: Encoder
    decoder: Decoder
    prior: Prior | None

    def __post_init__(self):
        if not isinstance(self.encoder, Encoder):
            raise UserError("decoder is a Decoder and encoder no Encoder; let it be one, or choose another decoder")
        latent, components = self.decoder.latent, self.decoder.components
        if latent < 1 or components < 1:
            raise UserError(f"decoder.latent is {latent} and decoder.components {components}; give at least 1 of each")
        check_prior(self.prior, latent)

    def sized(self, image: Shape, levels: int) -> "OneLayer":
        self.decoder.pixels.check(levels)
        latent = self.decoder.latent
        return replace(
            self,
            encoder=self.encoder.clone(latent=latent),
            decoder=self.decoder.clone(image=image, levels=levels),
            prior=None if self.prior is None else self.prior.clone(latent=latent),
        )

    def init(self, key: Key, picture: jax.Array, condition: Condition | None) -> dict[str, Params]:
        encoder_key, decoder_key, prior_key = jax.random.split(key, 3)
        z = jnp.zeros((1, self.decoder.latent), jnp.float32)
        params = {
            "encoder": self.encoder.init(encoder_key, picture, condition)["params"],
            "decoder": self.decoder.init(decoder_key, z, condition)["params"],
        }
        if self.prior is not None:
            params["prior"] = self.prior.init(prior_key, z, condition, method="log_prob")["params"]
        return params

    def encode(
        self, params: Params, picture: jax.Array, condition: Condition | None, dropping: jax.Array | None = None
    ) -> Posterior:
        return Posterior(*self.encoder.apply({"params": params["encoder"]}, picture, condition, dropping))

    def infer(
        self,
        params: Params,
        encoded: Posterior,
        condition: Condition | None,
        keys: jax.Array,
        dropping: jax.Array | None = None,
    ) -> Inferred:
        z = reparameterised(noise_of(keys, encoded.mean.shape[1:]), *encoded)
        likelihood = self.likelihood(params, z, condition, dropping)
        log_p = prior_log_prob(self.prior, params, z, condition)
        closed = kl_to_standard_normal(*encoded) if self.prior is None else -normal_entropy(encoded.log_std) - log_p
        log_q = normal_log_density(z, *encoded)
        noise = prior_noise(self.prior, params, z, condition)
        return Inferred(likelihood, log_q[None], log_p[None], closed[None], encoded.mean, (noise,))

    def likelihood(
        self, params: Params, z: jax.Array, condition: Condition | None, dropping: jax.Array | None = None
    ) -> PixelDistribution:
        """p(picture | z, condition) of z [B, Z]."""
        return self.decoder.apply({"params": params["decoder"]}, z, condition, dropping)

    def noise(self, keys: jax.Array) -> tuple[jax.Array, ...]:
        return (noise_of(keys, (self.decoder.latent,)),)

    def decode(
        self,
        params: Params,
        condition: Condition | None,
        noise: tuple[jax.Array, ...],
        temperature: jax.Array | float = 1.0,
    ) -> PixelDistribution:
        z = prior_sample(self.prior, params, temperature * noise[0], condition)
        return self.likelihood(params, z, condition)
