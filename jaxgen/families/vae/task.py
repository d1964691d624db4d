"""The VAE's game: one player lowers a bound on the negative likelihood; a tighter bound is what it is judged by."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import DENSE_BLOCKS, WHOLE, Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.vae.bounds import MOST_SAMPLES, Bounds, Drawn, bounds_of
from jaxgen.families.vae.completion import completed
from jaxgen.families.vae.dense import DenseDecoder, DenseEncoder
from jaxgen.families.vae.latents import Inferred, Latents, latents_of
from jaxgen.families.vae.likelihoods import summed
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.objectives import EvidenceBound, Objective, Past
from jaxgen.families.vae.posterior_collapse import warning_of
from jaxgen.families.vae.spectral import sum_of_spectral_norms
from jaxgen.families.vae.top_down import BottomUp, TopDown
from jaxgen.nn.conditions import (
    Condition,
    check_conditions,
    check_fraction,
    check_given,
    condition_of,
    gives_sentence,
    hidden_rows,
    with_drawn,
)
from jaxgen.ops.distributions import PixelDistribution
from jaxgen.ops.levels import to_unit
from jaxgen.ops.rows import row_keys
from jaxgen.types import Batch, Extra, Image, Key, Params, Spec, Variables

_ACTIVE_VARIANCE = 0.01  # of a latent's posterior mean over the data (arXiv 1509.00519, section 5.2)

AnyEncoder = Encoder | DenseEncoder | BottomUp
AnyDecoder = Decoder | DenseDecoder | TopDown


@dataclass(frozen=True)
class LatentSampler:
    """How latents are drawn: from the prior with its spread scaled by `temperature`."""

    temperature: float = 1.0

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"sampler.temperature is {self.temperature}; give 0 (the prior's centre) or more")

    def knobs(self) -> dict[str, float]:
        return {"temperature": self.temperature}


@dataclass(frozen=True)
class Vae:
    """An encoder and a decoder that fit each other, trained on a bound of the likelihood under what is given.

    One stochastic layer (network.py), several (dense.py), or a hierarchy of pictures (top_down.py). `prior` is learned
    beside the first two, of the layer that is drawn first; None is the standard normal distribution. The first reads a
    sentence that is given, each network by a text encoder of its own; the prior does not see it.
    `spectral` weighs the sum of the kernels' largest singular values, added to the objective (spectral.py): it keeps
    deep hierarchies steady. `condition_dropout` is the fraction of training rows whose given is hidden, so that
    pictures of any class have a likelihood as well. `importance_samples` are those of the bound that is judged by
    (arXiv 1509.00519, eq. 8).
    """

    encoder: AnyEncoder = Encoder()
    decoder: AnyDecoder = Decoder()
    prior: Prior | None = Prior()
    objective: Objective = EvidenceBound()
    sampler: LatentSampler = LatentSampler()
    spectral: float = 0.0
    condition_dropout: float = 0.0
    importance_samples: int = 128
    spec: Spec | None = None  # from the data

    def __post_init__(self):
        check_fraction(self.condition_dropout)
        if not 1 <= self.importance_samples <= MOST_SAMPLES:
            raise UserError(f"importance_samples is {self.importance_samples}; give 1 to {MOST_SAMPLES:,}")
        if not self.spectral >= 0:
            raise UserError(f"spectral is {self.spectral}; a weight is 0 or more")
        latents_of(self.encoder, self.decoder, self.prior)  # UserError where they do not fit

    @property
    def bound(self) -> str:
        return f"importance-weighted bound, {self.importance_samples} samples"

    @property
    def latents(self) -> Latents:
        return latents_of(self.encoder, self.decoder, self.prior)

    def sized(self, spec: Spec) -> "Vae":
        if not isinstance(spec.made, Image):
            raise UserError("a Vae makes pictures and this data set has none; choose data with pictures")
        check_conditions(spec, "Vae", prompts=isinstance(self.encoder, Encoder))
        own = self.latents.sized(spec.made.shape, spec.made.levels)
        return replace(self, encoder=own.encoder, decoder=own.decoder, prior=own.prior, spec=spec)

    def init(self, key: Key) -> Variables:
        condition = condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)})
        params = self.latents.init(key, jnp.zeros((1, *self.spec.made.shape), jnp.float32), condition)
        if not self.objective.warmup:
            return Variables(params, Extra())
        layers = len(self.latents.noise(jax.random.split(key, 1))) if self.objective.balance else None
        return Variables(params, Extra(Past.at_first(layers)))

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return (*DENSE_BLOCKS, Rule(r"(decoder|text)/first$", WHOLE))

    @property
    def needs_given(self) -> bool:
        """Whether something is given that cannot be drawn, and that it has not been trained to do without."""
        return gives_sentence(self.spec) and not self.condition_dropout

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("bound", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        """What the objective's warm-up knows of the updates that were taken."""
        return shared.absorb(statistics)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over examples of the objective, nats an example."""
        latent_key, hiding, encoding, decoding = jax.random.split(key, 4)
        row, count = batch["row"], self.objective.samples
        condition = condition_of(self.spec, batch, hidden_rows(self.condition_dropout, hiding, row))
        encoded = self.latents.encode(variables.params, self._unit(batch), condition, row_keys(encoding, row))
        keys, dropping = (
            row_keys(one, row)[None] if count == 1 else _keys(one, row, jnp.arange(count))
            for one in (latent_key, decoding)
        )
        drawn = self._drawn(variables.params, batch, encoded, condition, keys, dropping)
        weight, past = batch.get("weight", jnp.ones(len(row))), variables.extra.shared
        nats = self.objective(drawn, past)
        metrics = {
            "reconstruction_nats": Mean.of(-drawn.log_likelihood.mean(axis=0), weight),
            "kl_nats": Mean.of(drawn.kl.sum(axis=0).mean(axis=0), weight),
        }
        if self.spectral:
            norms = sum_of_spectral_norms(nn.meta.unbox(variables.params))
            metrics["spectral_norms"] = Mean.of(jnp.broadcast_to(norms, weight.shape), weight)
            nats = nats + self.spectral * norms
        layers = None if past is None else Mean(drawn.kl.mean(axis=1) @ weight, jnp.sum(weight))  # [L]
        return Mean.of(nats, weight), Aux(metrics, layers)

    @property
    def levels(self) -> int:
        return self.spec.made.levels

    def _unit(self, batch: Batch) -> jax.Array:
        return to_unit(batch["made"]["value"], self.levels)

    def _drawn(
        self,
        params: Params,
        batch: Batch,
        encoded: Any,
        condition: Condition | None,
        keys: jax.Array,
        dropping: jax.Array | None = None,
    ) -> Drawn:
        """K posterior samples of each picture by `keys` [K, B], all decoded together.

        A picture's samples lie one after another: rows that lie on several devices then stay where they are. In the
        other order each of two devices decoded all of them.
        """
        count, size = keys.shape

        def repeated(leaf: jax.Array) -> jax.Array:
            return jnp.broadcast_to(leaf[:, None], (size, count, *leaf.shape[1:])).reshape(-1, *leaf.shape[1:])

        def apart(leaf: jax.Array) -> jax.Array:  # [..., B * K] to [..., K, B]
            return leaf.reshape(*leaf.shape[:-1], size, count).swapaxes(-1, -2)

        value = jnp.asarray(batch["made"]["value"])
        encoded, condition, value = jax.tree.map(repeated, (encoded, condition, value))
        dropping = None if dropping is None else dropping.T.reshape(-1)
        found = self.latents.infer(params, encoded, condition, keys.T.reshape(-1), dropping)
        nats = apart(summed(found.likelihood.log_prob(value, self.levels)))
        layers = (apart(each) for each in (found.log_q, found.log_p, found.kl))
        return Drawn(nats, *layers, found.means.reshape(size, count, -1).swapaxes(0, 1))

    def _bounds(self, params: Params, batch: Batch, key: Key) -> Bounds:
        row, condition = batch["row"], condition_of(self.spec, batch)
        encoded = self.latents.encode(params, self._unit(batch), condition)

        def draw(numbers: jax.Array) -> Drawn:
            return self._drawn(params, batch, encoded, condition, _keys(key, row, numbers))

        return bounds_of(draw, self.importance_samples, len(row))

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: the bound of arXiv 1509.00519, eq. 8, on log p(picture | given)."""
        return self._bounds(variables.params, batch, key).importance

    def reconstruct(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B, H, W, C] float levels: the mean picture of one posterior sample of each picture under what is given."""
        return self._posterior(variables.params, batch, key).likelihood.levels_mean(self.levels)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        """Nats of both bounds, of the distortion and of each layer's rate, and the moments of the posteriors' means."""
        bounds, weight = self._bounds(variables.params, batch, key), batch["weight"]
        parts = {"nats": -bounds.importance, "elbo_nats": -bounds.elbo, "distortion_nats": -bounds.log_likelihood}
        sums = {name: Mean.of(values, weight) for name, values in parts.items()}
        vectors = {"kl_nats": bounds.kl.T, "latent": bounds.means, "latent_square": bounds.means**2}
        return sums | {name: Mean(weight @ each, jnp.sum(weight)) for name, each in vectors.items()}, None

    def warning(self, figures: Mapping[str, Any]) -> str | None:
        return warning_of(figures)

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """Both bounds in bits per dimension and in nats an example, rate and distortion, and what the latents do.

        Of several stochastic layers the rate of each as well, the one that is drawn first in generation first.
        """
        bit = math.prod(self.spec.made.shape) * math.log(2)
        variance = sums["latent_square"].value - sums["latent"].value ** 2
        rates = sums["kl_nats"].value
        figures = {
            "bits_per_dim": sums["nats"].value / bit,
            "elbo_bits_per_dim": sums["elbo_nats"].value / bit,
            "nats_per_example": sums["nats"].value,
            "elbo_nats_per_example": sums["elbo_nats"].value,
            "distortion_nats_per_example": sums["distortion_nats"].value,
            "kl_nats_per_example": rates.sum(),
            "active_units": (variance > _ACTIVE_VARIANCE).sum(),
        }
        layers = {f"kl_nats_layer_{number}": rate for number, rate in enumerate(rates)} if len(rates) > 1 else {}
        return figures | layers

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        drawn = self.draw(variables, request, key)
        return {**drawn, "made": {"value": drawn["made"]["value"].astype(jnp.uint8)}}

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] of float levels for request["row"] [B]: latents, and then every pixel drawn exactly.

        The gradient reaches the prior and the decoder through the latents, and the likelihood's own numbers. A class
        that is not given is drawn evenly, unless `condition_dropout` has trained pictures of any class.
        """
        _, pixel_key, label_key = jax.random.split(key, 3)
        request = self._whole(request, label_key)
        likelihood = self._decoded(variables.params, request, self.draw_noise(request["row"], key))
        pixels = row_keys(pixel_key, request["row"])
        image = jax.vmap(lambda pixels, one: pixels.draw(one, self.levels))(likelihood, pixels)
        return {"given": dict(request.get("given", {})), "made": {"value": image}}

    def draw_noise(self, row: jax.Array, key: Key) -> tuple[jax.Array, ...]:
        latent_key, *_ = jax.random.split(key, 3)
        return self.latents.noise(row_keys(latent_key, row))

    def decode(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> Batch:
        """The mean pictures, rounded to levels."""
        request = self._whole(request, jax.random.key(0))
        return self._shown(request, self._decoded(variables.params, request, noise).levels_mean(self.levels))

    def infer(self, variables: Variables, batch: Batch, key: Key) -> tuple[jax.Array, ...]:
        """That of the posterior sample which `reconstruct` takes under this key."""
        return self._posterior(variables.params, self._whole(batch, jax.random.key(0)), key).noise

    def complete(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Mean pictures of samples of the posterior; where a part alone is known, of that of all of it (completion.py).
        """
        check_given(self.spec, request, self.condition_dropout)
        params, begun, (start_key, chain_key) = variables.params, request["made"], jax.random.split(key)

        def reconstruct(x: jax.Array, key: Key) -> PixelDistribution:
            return self._posterior(params, {**request, "made": {"value": x}}, key).likelihood

        if "known" in begun:
            start = self.draw(variables, request, start_key)["made"]["value"]
            how = begun["value"], begun["known"], self.levels, chain_key, request["row"]
            mean = completed(reconstruct, start, *how)
        else:
            mean = reconstruct(begun["value"], chain_key).levels_mean(self.levels)
        return self._shown(request, mean)

    def _shown(self, request: Batch, mean: jax.Array) -> Batch:
        return {"given": dict(request.get("given", {})), "made": {"value": jnp.round(mean).astype(jnp.uint8)}}

    def _posterior(self, params: Params, batch: Batch, key: Key) -> Inferred:
        condition = condition_of(self.spec, batch)
        encoded = self.latents.encode(params, self._unit(batch), condition)
        return self.latents.infer(params, encoded, condition, row_keys(key, batch["row"]))

    def _whole(self, request: Batch, key: Key) -> Batch:
        """The request with the classes that it left to be drawn, unless pictures of any class were trained."""
        return request if self.condition_dropout else with_drawn(self.spec, request, key)

    def _decoded(self, params: Params, request: Batch, noise: tuple[jax.Array, ...]) -> PixelDistribution:
        temperature = knobs_of(self.sampler, request)["temperature"]
        return self.latents.decode(params, condition_of(self.spec, request), noise, temperature)


def _keys(key: Key, row: jax.Array, numbers: jax.Array) -> jax.Array:
    """[K, B] keys, one for each of the posterior samples `numbers` [K] of each row."""
    return jax.vmap(lambda number: row_keys(jax.random.fold_in(key, number), row))(numbers)
