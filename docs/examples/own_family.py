"""A family of one's own: a masked autoencoder (MADE, arXiv 1502.03509) that draws a picture pixel by pixel.

    jaxgen train --config docs/examples/own_family.py --workdir runs/own_family
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.nn.conditions import check_conditions, condition_of
from jaxgen.ops.rows import draw
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Batch, Extra, Key, Spec, Variables


class Made(nn.Module):
    """Logits [B, P, levels]; those of pixel p see the pixels before p and the condition [B, D]."""

    width: int = 256
    pixels: int = 0  # both are filled in from the data
    levels: int = 0

    @nn.compact
    def __call__(self, value: jax.Array, condition: jax.Array) -> jax.Array:
        degree, place = jnp.arange(self.width) % self.pixels, jnp.arange(self.pixels)
        hidden = self.masked("hidden", value, place[:, None] < degree)  # a unit of degree m sees pixels 0 to m - 1
        hidden = nn.relu(hidden + nn.Dense(self.width)(condition))
        reached = jnp.repeat(degree[:, None] <= place, self.levels, axis=1)
        return self.masked("logits", hidden, reached).reshape(-1, self.pixels, self.levels)

    def masked(self, name: str, inputs: jax.Array, mask: jax.Array) -> jax.Array:
        kernel = self.param(f"{name}_kernel", nn.initializers.lecun_normal(), mask.shape)
        return inputs @ (kernel * mask) + self.param(f"{name}_bias", nn.initializers.zeros, mask.shape[1:])


@dataclass(frozen=True)
class MaskedAutoencoder:
    """The family's task; its contract is `Task` in jaxgen/core/task.py."""

    network: Made = Made()
    spec: Spec | None = None
    bound = "exact"

    def sized(self, spec: Spec) -> "MaskedAutoencoder":
        check_conditions(spec, "MaskedAutoencoder")
        pixels, levels = math.prod(spec.made.shape), spec.made.levels
        return replace(self, network=self.network.clone(pixels=pixels, levels=levels), spec=spec)

    def init(self, key: Key) -> Variables:
        request = {"row": jnp.zeros(1, jnp.int32)}
        values = jnp.zeros((1, self.network.pixels))
        return Variables(self.network.init(key, values, self.condition(request))["params"], Extra())

    def rows(self, batch_size: int) -> None:
        return None

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("likelihood", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def condition(self, batch: Batch) -> jax.Array:
        """[B, D]: of digits the class; a batch or request without it is "of any class"."""
        found = condition_of(self.spec, batch)
        return jnp.zeros((len(batch["row"]), 1)) if found is None else found.vector

    def logits(self, variables: Variables, levels: jax.Array, condition: jax.Array) -> jax.Array:
        return self.network.apply({"params": variables.params}, levels / (self.network.levels - 1), condition)

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats."""
        levels = batch["made"]["value"].reshape(len(batch["row"]), -1).astype(jnp.int32)
        log_probabilities = jax.nn.log_softmax(self.logits(variables, levels, self.condition(batch)))
        return jnp.take_along_axis(log_probabilities, levels[..., None], axis=2).sum(axis=(1, 2))

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        return Mean.of(-self.log_prob(variables, batch, key), batch.get("weight")), Aux()

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return {"nats": self.loss(variables, batch, key)[0]}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return {"bits_per_dim": sums["nats"].value / self.network.pixels / math.log(2)}

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        shape, condition = (self.network.pixels, self.network.levels), self.condition(request)
        noise = draw(lambda one: jax.random.gumbel(one, shape), key, request["row"])  # [B, P, levels]

        def add(pixel: jax.Array, levels: jax.Array) -> jax.Array:
            logits = self.logits(variables, levels, condition)
            return levels.at[:, pixel].set((logits + noise)[:, pixel].argmax(axis=1))

        levels = jax.lax.fori_loop(0, shape[0], add, jnp.zeros(noise.shape[:2], jnp.int32))
        value = levels.reshape(-1, *self.spec.made.shape).astype(jnp.uint8)
        return {"given": request["given"], "made": {"value": value}}


def experiment() -> Experiment:
    every = Every(log=50, evaluate=300, sample=300, checkpoint=300)
    optimisers = {"likelihood": AdamW(3e-3, weight_decay=0.1)}
    return Experiment(MaskedAutoencoder(), Pictures("digits"), optimisers, steps=300, every=every)
