"""A task of one's own: a mixture of histograms, one categorical for each pixel in each component; exact likelihoods.

    jaxgen train --config docs/examples/own_task.py --workdir runs/own_task
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.ops.rows import draw
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Batch, Extra, Key, Spec, Variables


@dataclass(frozen=True)
class Mixture:
    """Its settings; `sized` adds what the data decide."""

    components: int = 20
    spec: Spec | None = None
    bound = "exact"  # of `log_prob`: with it, `evaluate` and `score` tell likelihoods

    def sized(self, spec: Spec) -> "Mixture":
        return replace(self, spec=spec)

    def init(self, key: Key) -> Variables:
        shape = self.components, math.prod(self.spec.made.shape), self.spec.made.levels
        return Variables({"mixture": jnp.zeros(self.components), "pixels": jax.random.normal(key, shape)}, Extra())

    def rows(self, batch_size: int) -> None:  # no state is carried from batch to batch
        return None

    def turns(self) -> tuple[Turn, ...]:  # one player: its name is the optimiser's
        return (Turn("likelihood", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:  # no running statistics
        return shared

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats."""
        pixels = jax.nn.log_softmax(variables.params["pixels"])  # [K, P, levels]
        levels = batch["made"]["value"].reshape(len(batch["row"]), -1).astype(jnp.int32)  # [B, P]
        each = jnp.take_along_axis(pixels[None], levels[:, None, :, None], axis=3)[..., 0].sum(axis=2)  # [B, K]
        return jax.nn.logsumexp(each + jax.nn.log_softmax(variables.params["mixture"]), axis=1)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        return Mean.of(-self.log_prob(variables, batch, key), batch.get("weight")), Aux()

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return {"nats": self.loss(variables, batch, key)[0]}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return {"bits_per_dim": sums["nats"].value / math.prod(self.spec.made.shape) / math.log(2)}

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        def one(key: Key) -> jax.Array:  # `draw` gives each row a key of its own
            which, levels = jax.random.split(key)
            component = jax.random.categorical(which, variables.params["mixture"])
            return jax.random.categorical(levels, variables.params["pixels"][component])

        value = draw(one, key, request["row"]).reshape(-1, *self.spec.made.shape).astype(jnp.uint8)
        return {"given": request["given"], "made": {"value": value}}


def experiment() -> Experiment:
    every = Every(log=50, evaluate=200, sample=200, checkpoint=200)
    return Experiment(Mixture(), Pictures("digits"), {"likelihood": AdamW(0.05)}, steps=200, every=every)
