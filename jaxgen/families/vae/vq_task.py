"""The game of a vector-quantised VAE: pictures to a grid of codes and back (arXiv 1711.00937)."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxgen.core.layout import DENSE_BLOCKS, Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.errors import UserError
from jaxgen.families.vae.codebook import Assigned, Codebook, Codes, nearest, perplexity, straight_through
from jaxgen.families.vae.likelihoods import summed
from jaxgen.families.vae.vq_network import GridDecoder, GridEncoder
from jaxgen.ops.distributions import PixelDistribution
from jaxgen.ops.levels import to_unit
from jaxgen.ops.rows import row_keys
from jaxgen.types import Batch, Extra, Image, Key, Params, Spec, Variables


@dataclass(frozen=True)
class VqVae:
    """An encoder, a codebook and a decoder; the loss is eq. 3 of arXiv 1711.00937 with the codes learned as averages:

        -log p(picture | q(z)) + commitment * |z - sg(e)|²        nats a picture, the squares summed over its grid

    What is given is not looked at: a prior over the codes is learned under it (families/code_prior.py). Without one
    codes are drawn independently, each as often as training used it, which makes no pictures that are worth a look.
    """

    encoder: GridEncoder = GridEncoder()
    decoder: GridDecoder = GridDecoder()
    codebook: Codebook = Codebook()
    commitment: float = 1.0
    spec: Spec | None = None  # from the data

    bound = "evidence bound, codes as independent"

    def __post_init__(self):
        if not 0 <= self.commitment < math.inf:
            raise UserError(f"commitment is {self.commitment}; give 0 or more")
        if len(self.encoder.grid_blocks) != len(self.decoder.grid_blocks):
            raise UserError(
                f"decoder.grid_blocks is {self.decoder.grid_blocks} and encoder.grid_blocks is "
                f"{self.encoder.grid_blocks}; give both as many grids"
            )

    def sized(self, spec: Spec) -> "VqVae":
        if not isinstance(spec.made, Image):
            raise UserError("a VqVae makes pictures and this data set has none; choose data with pictures")
        self.decoder.likelihood.check(spec.made.levels)
        decoder = self.decoder.clone(image=spec.made.shape, levels=spec.made.levels)
        _ = decoder.grid  # UserError where the pictures cannot be cut so
        encoder = self.encoder.clone(patch=decoder.patch, size=self.codebook.size)
        return replace(self, encoder=encoder, decoder=decoder, spec=spec)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of a picture's codes."""
        return self.decoder.grid

    @property
    def codes(self) -> int:
        """K."""
        return self.codebook.codes

    def init(self, key: Key) -> Variables:
        encoder_key, decoder_key, code_key = jax.random.split(key, 3)
        picture = jnp.zeros((1, *self.spec.made.shape), jnp.float32)
        vectors = jnp.zeros((1, *self.grid, self.codebook.size), jnp.float32)
        params = {
            "encoder": self.encoder.init(encoder_key, picture)["params"],
            "decoder": self.decoder.init(decoder_key, vectors)["params"],
        }
        return Variables(params, Extra(self.codebook.init(code_key)))

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return DENSE_BLOCKS

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("reconstruction", self.loss),)

    def absorb(self, shared: Codes, statistics: Assigned) -> Codes:
        return self.codebook.absorb(shared, statistics)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over examples, nats; the statistics are the batch's vectors by their codes."""
        known, value = variables.extra.shared, batch["made"]["value"]
        z = self._encoded(variables.params, batch)
        codes = nearest(z, known.vectors)
        vectors = known.vectors[codes]
        likelihood = self._decoded(variables.params, straight_through(z, vectors))
        nats = -summed(likelihood.log_prob(value, self.levels))
        distance = jnp.sum((z - vectors) ** 2, axis=(1, 2, 3))
        weight = batch.get("weight", jnp.ones_like(nats))
        metrics = {
            "reconstruction_nats": Mean.of(nats, weight),
            "commitment": Mean.of(distance, weight),
            "code_perplexity": Mean.of(perplexity(jnp.exp(known.log_frequencies))),
        }
        statistics = self.codebook.assigned(jax.lax.stop_gradient(z), codes, weight, key, batch["row"])
        return Mean.of(nats + self.commitment * distance, weight), Aux(metrics, statistics)

    @property
    def levels(self) -> int:
        return self.spec.made.levels

    def _encoded(self, params: Params, batch: Batch) -> jax.Array:
        """[B, h, w, D]."""
        return self.encoder.apply({"params": params["encoder"]}, to_unit(batch["made"]["value"], self.levels))

    def _decoded(self, params: Params, vectors: jax.Array) -> PixelDistribution:
        return self.decoder.apply({"params": params["decoder"]}, vectors)

    def encode(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B, h, w] int32: the codes of pictures."""
        return nearest(self._encoded(variables.params, batch), variables.extra.shared.vectors)

    def likelihood(self, variables: Variables, codes: jax.Array) -> PixelDistribution:
        """p(picture | codes [B, h, w]), arrays [B, H, W, C, ...]."""
        return self._decoded(variables.params, variables.extra.shared.vectors[codes])

    def code_nats(self, variables: Variables, batch: Batch, codes: jax.Array) -> jax.Array:
        """[B] nats: -log p(picture | codes)."""
        return -summed(self.likelihood(variables, codes).log_prob(batch["made"]["value"], self.levels))

    def decode(self, variables: Variables, codes: jax.Array) -> jax.Array:
        """[B, H, W, C] float levels: the mean picture of codes [B, h, w]."""
        return self.likelihood(variables, codes).levels_mean(self.levels)

    def reconstruct(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B, H, W, C] float levels: the mean picture of each picture's codes. Nothing is drawn."""
        return self.decode(variables, self.encode(variables, batch))

    def _nats(self, variables: Variables, batch: Batch, codes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Distortion and rate, [B] nats each, of pictures and their codes [B, h, w]: q(codes | picture) is certain."""
        rate = -jnp.sum(variables.extra.shared.log_frequencies[codes], axis=(1, 2))
        return self.code_nats(variables, batch, codes), rate

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: log p(picture | its codes) + log p(codes), of which no other codes' part is counted."""
        distortion, rate = self._nats(variables, batch, self.encode(variables, batch))
        return -distortion - rate

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        z, known, weight = self._encoded(variables.params, batch), variables.extra.shared, batch["weight"]
        codes = nearest(z, known.vectors)
        distortion, rate = self._nats(variables, batch, codes)
        distance = jnp.sum((z - known.vectors[codes]) ** 2, axis=(1, 2, 3))
        sums = {"distortion_nats": distortion, "kl_nats": rate, "commitment": distance}
        used = jnp.mean(jax.nn.one_hot(codes, self.codes), axis=(1, 2))  # [B, K]
        means = {name: Mean.of(values, weight) for name, values in sums.items()}
        return means | {"used": Mean(weight @ used, jnp.sum(weight))}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """The bound in bits per dimension and nats, rate and distortion, and what becomes of the codes."""
        distortion, rate, used = (sums[name].value for name in ("distortion_nats", "kl_nats", "used"))
        return {
            "bits_per_dim": (distortion + rate) / (self.spec.made.elements * math.log(2)),
            "nats_per_example": distortion + rate,
            "distortion_nats_per_example": distortion,
            "kl_nats_per_example": rate,
            "commitment": sums["commitment"].value,
            "code_perplexity": perplexity(used),
            "codes_used": (used > 0).sum(),
        }

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        drawn = self.draw(variables, request, key)
        return {**drawn, "made": {"value": drawn["made"]["value"].astype(jnp.uint8)}}

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] of float levels: codes drawn independently, and then every pixel drawn exactly.

        The gradient reaches the decoder through the likelihood's own numbers.
        """
        code_key, pixel_key = jax.random.split(key)
        row, logits = request["row"], variables.extra.shared.log_frequencies
        drawn = lambda one: jax.random.categorical(one, logits, shape=self.grid)  # noqa: E731
        likelihood = self.likelihood(variables, jax.vmap(drawn)(row_keys(code_key, row)))
        image = jax.vmap(lambda pixels, one: pixels.draw(one, self.levels))(likelihood, row_keys(pixel_key, row))
        return {"given": dict(request.get("given", {})), "made": {"value": image}}
