"""The VAE's game: one player lowers the negative evidence bound; a tighter bound is what it is judged by."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.core.layout import DENSE_BLOCKS, Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.vae.likelihoods import summed
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.nn.conditions import (
    Condition,
    check_conditions,
    check_fraction,
    condition_of,
    hidden_rows,
    with_drawn,
)
from jaxgen.ops.distributions import (
    PixelDistribution,
    kl_to_standard_normal,
    normal_entropy,
    normal_log_density,
    reparameterised,
)
from jaxgen.ops.levels import to_unit
from jaxgen.ops.rows import normal, row_keys
from jaxgen.types import Batch, Extra, Image, Key, Params, Spec, Variables

_AT_ONCE = 16  # posterior samples that are decoded together
_ACTIVE_VARIANCE = 0.01  # of a latent's posterior mean over the data (arXiv 1509.00519, section 5.2)


class Posterior(NamedTuple):
    """A diagonal normal distribution for each row: arrays [B, Z]."""

    mean: jax.Array
    log_std: jax.Array


@dataclass(frozen=True)
class LatentSampler:
    """How latents are drawn: from the prior with its spread scaled by `temperature`."""

    temperature: float = 1.0

    def __post_init__(self):
        if self.temperature < 0:
            raise UserError(f"sampler.temperature is {self.temperature}; give 0 (the prior's centre) or more")

    def knobs(self) -> dict[str, float]:
        return {"temperature": self.temperature}


@dataclass(frozen=True)
class Vae:
    """An encoder and a decoder trained on the evidence bound (arXiv 1312.6114), under what is given.

    `prior` is learned beside them; None is the standard normal distribution. `condition_dropout` is the fraction of
    training rows whose given is hidden, so that pictures of any class have a likelihood as well.
    `importance_samples` are those of the bound that is judged by (arXiv 1509.00519, eq. 8).
    """

    encoder: Encoder = Encoder()
    decoder: Decoder = Decoder()
    prior: Prior | None = Prior()
    sampler: LatentSampler = LatentSampler()
    condition_dropout: float = 0.0
    importance_samples: int = 128
    spec: Spec | None = None  # from the data

    def __post_init__(self):
        check_fraction(self.condition_dropout)
        if self.importance_samples < 1:
            raise UserError(f"importance_samples is {self.importance_samples}; give at least 1")
        if self.decoder.latent < 1 or self.decoder.components < 1:
            raise UserError(
                f"decoder.latent is {self.decoder.latent} and decoder.components {self.decoder.components}; "
                "give at least 1 of each"
            )

        if self.prior is not None and self.prior.layers and self.decoder.latent < 2:
            raise UserError("prior.layers couples halves of the latent; give decoder.latent at least 2, or 0 layers")

    @property
    def bound(self) -> str:
        return f"importance-weighted bound, {self.importance_samples} samples"

    def sized(self, spec: Spec) -> "Vae":
        if not isinstance(spec.made, Image):
            raise UserError("a Vae makes pictures and this data set has none; choose data with pictures")
        check_conditions(spec, "Vae")
        self.decoder.pixels.check(spec.made.levels)
        latent = self.decoder.latent
        return replace(
            self,
            encoder=self.encoder.clone(latent=latent),
            decoder=self.decoder.clone(image=spec.made.shape, levels=spec.made.levels),
            prior=None if self.prior is None else self.prior.clone(latent=latent),
            spec=spec,
        )

    def init(self, key: Key) -> Variables:
        encoder_key, decoder_key, prior_key = jax.random.split(key, 3)
        condition = condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)})
        z, picture = (jnp.zeros((1, *shape), jnp.float32) for shape in ((self.decoder.latent,), self.spec.made.shape))
        params = {
            "encoder": self.encoder.init(encoder_key, picture, condition)["params"],
            "decoder": self.decoder.init(decoder_key, z, condition)["params"],
        }
        if self.prior is not None:
            params["prior"] = self.prior.init(prior_key, z, condition, method="log_prob")["params"]
        return Variables(params, Extra())

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return DENSE_BLOCKS

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("bound", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over examples of the negative evidence bound, nats an example (arXiv 1312.6114, eq. 3)."""
        latent_key, hiding, encoding, decoding = jax.random.split(key, 4)
        params, row = variables.params, batch["row"]
        condition = condition_of(self.spec, batch, hidden_rows(self.condition_dropout, hiding, row))
        posterior = self.posterior(params, batch, condition, row_keys(encoding, row))
        z = reparameterised(normal(latent_key, row, posterior.mean.shape[1:]), *posterior)
        likelihood = self.likelihood(params, z, condition, row_keys(decoding, row))
        reconstruction = -summed(likelihood.log_prob(batch["made"]["value"], self.levels))
        if self.prior is None:
            kl = kl_to_standard_normal(*posterior)
        else:
            kl = -normal_entropy(posterior.log_std) - self.prior_log_prob(params, z, condition)
        weight = batch.get("weight")
        metrics = {"reconstruction_nats": Mean.of(reconstruction, weight), "kl_nats": Mean.of(kl, weight)}
        return Mean.of(reconstruction + kl, weight), Aux(metrics)

    @property
    def levels(self) -> int:
        return self.spec.made.levels

    def posterior(
        self, params: Params, batch: Batch, condition: Condition | None, keys: jax.Array | None = None
    ) -> Posterior:
        """q(z | picture, condition); `keys` [B] draw dropout."""
        picture = to_unit(batch["made"]["value"], self.levels)
        return Posterior(*self.encoder.apply({"params": params["encoder"]}, picture, condition, keys))

    def likelihood(
        self, params: Params, z: jax.Array, condition: Condition | None, keys: jax.Array | None = None
    ) -> PixelDistribution:
        """p(picture | z, condition) with arrays [B, H, W, C, ...]; `keys` [B] draw dropout."""
        return self.decoder.apply({"params": params["decoder"]}, z, condition, keys)

    def prior_log_prob(self, params: Params, z: jax.Array, condition: Condition | None) -> jax.Array:
        """[B] nats: log p(z | condition) of z [B, Z]."""
        if self.prior is None:
            return normal_log_density(z, jnp.zeros_like(z), jnp.zeros_like(z))
        return self.prior.apply({"params": params["prior"]}, z, condition, method="log_prob")

    def encode(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B, Z]: the posterior's mean for each picture under what is given."""
        return self.posterior(variables.params, batch, condition_of(self.spec, batch)).mean

    def decode(self, variables: Variables, z: jax.Array, request: Batch) -> jax.Array:
        """[B, H, W, C] float levels: the mean picture of each latent [B, Z] under what is given."""
        return self.likelihood(variables.params, z, condition_of(self.spec, request)).levels_mean(self.levels)

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: the bound of arXiv 1509.00519, eq. 8, on log p(picture | given)."""
        _, reconstruction, kl = self._terms(variables.params, batch, key)
        return jax.nn.logsumexp(-reconstruction - kl, axis=0) - math.log(self.importance_samples)

    def _terms(self, params: Params, batch: Batch, key: Key) -> tuple[Posterior, jax.Array, jax.Array]:
        """q(z | x); -log p(x | z) and log q(z | x) - log p(z), each [K, B] nats, at K posterior samples."""
        condition = condition_of(self.spec, batch)
        posterior = self.posterior(params, batch, condition)

        def one(number: jax.Array) -> tuple[jax.Array, jax.Array]:
            noise = normal(jax.random.fold_in(key, number), batch["row"], posterior.mean.shape[1:])
            z = reparameterised(noise, *posterior)
            log_prob = self.likelihood(params, z, condition).log_prob(batch["made"]["value"], self.levels)
            return -summed(log_prob), normal_log_density(z, *posterior) - self.prior_log_prob(params, z, condition)

        return posterior, *jax.lax.map(one, jnp.arange(self.importance_samples), batch_size=_AT_ONCE)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        """Nats of both bounds and of the parts, and the moments [Z] of the posteriors' means."""
        posterior, reconstruction, kl = self._terms(variables.params, batch, key)
        bound = jax.nn.logsumexp(-reconstruction - kl, axis=0) - math.log(self.importance_samples)
        weight = batch["weight"]
        parts = {"nats": -bound, "elbo_nats": (reconstruction + kl).mean(axis=0), "kl_nats": kl.mean(axis=0)}
        sums = {name: Mean.of(values, weight) for name, values in parts.items()}
        for name, values in (("latent", posterior.mean), ("latent_square", posterior.mean**2)):
            sums[name] = Mean(weight @ values, jnp.sum(weight))
        return sums, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """Bits per dimension of the importance-weighted bound and of the evidence bound, and what the latent does."""
        bit = math.prod(self.spec.made.shape) * math.log(2)
        variance = sums["latent_square"].value - sums["latent"].value ** 2
        return {
            "bits_per_dim": sums["nats"].value / bit,
            "elbo_bits_per_dim": sums["elbo_nats"].value / bit,
            "kl_nats_per_example": sums["kl_nats"].value,
            "active_units": (variance > _ACTIVE_VARIANCE).sum(),
        }

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        drawn = self.draw(variables, request, key)
        return {**drawn, "made": {"value": drawn["made"]["value"].astype(jnp.uint8)}}

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] of float levels for request["row"] [B]: a latent, and then every pixel drawn exactly.

        The gradient reaches the prior and the decoder through the latent, and the likelihood's own numbers. A class
        that is not given is drawn evenly, unless `condition_dropout` has trained pictures of any class.
        """
        latent_key, pixel_key, label_key = jax.random.split(key, 3)
        request = request if self.condition_dropout else with_drawn(self.spec, request, label_key)
        row, condition = request["row"], condition_of(self.spec, request)
        z = knobs_of(self.sampler, request)["temperature"] * normal(latent_key, row, (self.decoder.latent,))
        if self.prior is not None:
            z = self.prior.apply({"params": variables.params["prior"]}, z, condition, method="from_base")
        likelihood = self.likelihood(variables.params, z, condition)
        image = jax.vmap(lambda pixels, one: pixels.draw(one, self.levels))(likelihood, row_keys(pixel_key, row))
        return {"given": dict(request.get("given", {})), "made": {"value": image}}
