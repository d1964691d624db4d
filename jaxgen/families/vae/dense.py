"""Plain dense VAEs with one stochastic layer or several: the nets that published likelihoods of MNIST are of."""
# SPDX-License-Identifier: Apache-2.0

import enum
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.families.vae.latents import (
    Inferred,
    Posterior,
    Shape,
    check_prior,
    folded_keys,
    noise_of,
    prior_log_prob,
    prior_noise,
    prior_sample,
    standardised,
)
from jaxgen.families.vae.likelihoods import AnyLikelihood, BernoulliPixels, likelihood_layer
from jaxgen.families.vae.network import Prior, posterior_of
from jaxgen.nn.conditions import Condition
from jaxgen.nn.precision import Precision
from jaxgen.ops.distributions import PixelDistribution, kl_to_standard_normal, normal_log_density, reparameterised
from jaxgen.types import Key, Params


class Activation(enum.Enum):
    """What follows a hidden layer."""

    TANH = "tanh"
    RELU = "relu"

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x) if self is Activation.TANH else nn.relu(x)


class Hidden(nn.Module):
    """`depth` dense layers; the first sees what is given beside x [B, N]. None of them: a linear map of both follows.
    """

    width: int
    depth: int
    activation: Activation
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, condition: Condition | None) -> jax.Array:
        if condition is not None:
            x = jnp.concatenate([x, condition.vector.astype(x.dtype)], axis=-1)
        for number in range(self.depth):
            x = self.activation(self.precision.dense(self.width, name=f"dense_{number}")(x))
        return x


class DenseEncoder(nn.Module):
    """q(h_1 | picture), q(h_2 | h_1), ...: the layer nearest to the pictures first (arXiv 1509.00519, section 5).

    Each has `depth` hidden layers of its own of `widths`; the sizes of the latents are the decoder's.
    """

    widths: tuple[int, ...] = (200,)
    depth: int = 2
    activation: Activation = Activation.TANH
    precision: Precision = Precision.FLOAT32
    latent: tuple[int, ...] = ()  # from the decoder

    def __post_init__(self):
        _check(self.widths, self.depth)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "B N"], condition: Condition | None, layer: int = 0
    ) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
        """Mean and log standard deviation of a layer's latent, of that below it or of a flat picture in [0, 1]."""
        hidden = Hidden(self.widths[layer], self.depth, self.activation, self.precision, name=f"hidden_{layer}")
        return posterior_of(hidden(x, condition), self.latent[layer], self.precision, f"posterior_{layer}")


class DenseDecoder(nn.Module):
    """p(picture | h_1), p(h_1 | h_2), ...; `latent` are the sizes of h_1, h_2, ..., of which the last has the prior."""

    widths: tuple[int, ...] = (200,)
    depth: int = 2
    activation: Activation = Activation.TANH
    precision: Precision = Precision.FLOAT32
    latent: tuple[int, ...] = (50,)
    likelihood: AnyLikelihood = BernoulliPixels()
    image: Shape | None = None  # H, W, C, from the data
    levels: int = 0  # from the data

    def __post_init__(self):
        _check(self.widths, self.depth)
        if not self.latent or min(self.latent) < 1 or len(self.latent) != len(self.widths):
            raise UserError(
                f"decoder.latent is {self.latent} and decoder.widths {self.widths}; give one of each to every "
                "stochastic layer, at least 1"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, z: Float[Array, "B Z"], condition: Condition | None, layer: int = 0
    ) -> PixelDistribution | tuple[jax.Array, jax.Array]:
        """Of layer 0 the picture's distribution; of others mean and log standard deviation of the latent below."""
        hidden = Hidden(self.widths[layer], self.depth, self.activation, self.precision, name=f"hidden_{layer}")
        x = hidden(z, condition)
        if layer:
            return posterior_of(x, self.latent[layer - 1], self.precision, f"conditional_{layer}")
        return likelihood_layer(self.likelihood, x, self.image, self.levels, self.precision)

    @nn.nowrap
    def joined(self, encoder: nn.Module, prior: Prior | None) -> "Layers":
        return Layers(encoder, self, prior)


@dataclass(frozen=True)
class Layers:
    """The latents of a DenseEncoder and a DenseDecoder."""

    encoder: DenseEncoder
    decoder: DenseDecoder
    prior: Prior | None

    def __post_init__(self):
        if not isinstance(self.encoder, DenseEncoder) or len(self.encoder.widths) != len(self.decoder.widths):
            raise UserError(
                f"decoder is a DenseDecoder of {len(self.decoder.widths)} stochastic layers; let encoder be a "
                "DenseEncoder whose widths are as many"
            )
        check_prior(self.prior, self.decoder.latent[-1])

    def sized(self, image: Shape, levels: int) -> "Layers":
        self.decoder.likelihood.check(levels)
        return replace(
            self,
            encoder=self.encoder.clone(latent=self.decoder.latent),
            decoder=self.decoder.clone(image=image, levels=levels),
            prior=None if self.prior is None else self.prior.clone(latent=self.decoder.latent[-1]),
        )

    def init(self, key: Key, picture: jax.Array, condition: Condition | None) -> dict[str, Params]:
        sizes, params = self.decoder.latent, {"encoder": {}, "decoder": {}}
        flat = [picture.reshape(1, -1), *(jnp.zeros((1, size), jnp.float32) for size in sizes)]
        for layer in range(len(sizes)):
            own = jax.random.split(jax.random.fold_in(key, layer))
            params["encoder"] |= self.encoder.init(own[0], flat[layer], condition, layer)["params"]
            params["decoder"] |= self.decoder.init(own[1], flat[layer + 1], condition, layer)["params"]
        if self.prior is not None:
            own = jax.random.fold_in(key, len(sizes))
            params["prior"] = self.prior.init(own, flat[-1], condition, method="log_prob")["params"]
        return params

    def encode(
        self, params: Params, picture: jax.Array, condition: Condition | None, dropping: jax.Array | None = None
    ) -> Posterior:
        # From 0 to 1: a background of -1 reaches each unit through hundreds of weights, which all move alike in an
        # update, and saturates it.
        return self._posterior(params, (picture.reshape(len(picture), -1) + 1) / 2, condition, 0)

    def infer(
        self,
        params: Params,
        encoded: Posterior,
        condition: Condition | None,
        keys: jax.Array,
        dropping: jax.Array | None = None,
    ) -> Inferred:
        latents: list[jax.Array] = []
        posteriors = [encoded]
        for layer in range(len(self.decoder.latent)):
            if layer:
                posteriors.append(self._posterior(params, latents[-1], condition, layer))
            latents.append(reparameterised(self._noise(keys, layer), *posteriors[layer]))
        log_q = [normal_log_density(z, *own) for z, own in zip(latents, posteriors, strict=True)]
        priors = [self._decoded(params, above, condition, layer) for layer, above in enumerate(latents[1:], 1)]
        noise = [standardised(z, *own) for z, own in zip(latents, priors, strict=False)]
        noise.append(prior_noise(self.prior, params, latents[-1], condition))
        log_p = [normal_log_density(z, *own) for z, own in zip(latents, priors, strict=False)]
        log_p.append(prior_log_prob(self.prior, params, latents[-1], condition))
        kl = [q - p for q, p in zip(log_q, log_p, strict=True)]
        if self.prior is None:
            kl[-1] = kl_to_standard_normal(*posteriors[-1])
        layers = (jnp.stack(each[::-1]) for each in (log_q, log_p, kl))
        means = jnp.concatenate([own.mean for own in posteriors[::-1]], axis=-1)
        return Inferred(self._decoded(params, latents[0], condition, 0), *layers, means, tuple(noise[::-1]))

    def noise(self, keys: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(self._noise(keys, layer) for layer in reversed(range(len(self.decoder.latent))))

    def decode(
        self,
        params: Params,
        condition: Condition | None,
        noise: tuple[jax.Array, ...],
        temperature: jax.Array | float = 1.0,
    ) -> PixelDistribution:
        first, *others = noise
        z = prior_sample(self.prior, params, temperature * first, condition)
        for layer, own in zip(range(len(others), 0, -1), others, strict=True):
            z = reparameterised(temperature * own, *self._decoded(params, z, condition, layer))
        return self._decoded(params, z, condition, 0)

    def _posterior(self, params: Params, x: jax.Array, condition: Condition | None, layer: int) -> Posterior:
        return Posterior(*self.encoder.apply({"params": params["encoder"]}, x, condition, layer))

    def _decoded(
        self, params: Params, z: jax.Array, condition: Condition | None, layer: int
    ) -> PixelDistribution | tuple[jax.Array, jax.Array]:
        return self.decoder.apply({"params": params["decoder"]}, z, condition, layer)

    def _noise(self, keys: jax.Array, layer: int) -> jax.Array:
        """[B, Z] of a layer's own."""
        return noise_of(folded_keys(keys, layer), (self.decoder.latent[layer],))


def _check(widths: tuple[int, ...], depth: int) -> None:
    if not widths or min(widths) < 1 or depth < 0:
        raise UserError(f"widths is {widths} and depth {depth}; give widths from 1 on, and a depth from 0 on")
