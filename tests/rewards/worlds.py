"""Worlds small enough that every picture can be listed: 2x2 pictures of two levels, and rewards for them."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from jaxgen.types import Spec, Variables
from tests.given import pictures

SPEC = pictures((2, 2, 1), levels=2, classes=3)
EVERY = np.array(list(itertools.product(range(2), repeat=4)), np.uint8).reshape(16, 2, 2, 1)
NETWORKS = {
    "rnn": RecurrentNetwork(width=6, embedding=4),
    "transformer": Transformer(width=8, blocks=2, heads=2, hidden=16),
}


@dataclass(frozen=True)
class Ink:
    """The share of the pixels that are set, and a bonus for one picture."""

    bonus: float = 1.0

    def prepare(self, spec: Spec) -> Any:
        return {"bonus": np.float32(self.bonus)}

    def __call__(self, prepared: Any, example: Any) -> jax.Array:
        pixels = example["made"]["value"].reshape(-1, 4).astype(jnp.float32)
        wanted = (pixels == jnp.array([1.0, 0, 0, 1])).all(axis=1)
        return pixels.mean(axis=1) + prepared["bonus"] * wanted


@functools.cache
def policy(kind: str, seed: int = 7) -> tuple[LanguageModel, Variables]:
    """A sized task and parameters none of which is zero."""
    task = LanguageModel(NETWORKS[kind], condition_dropout=0.1).sized(SPEC)
    variables = jax.jit(task.init)(jax.random.key(0))
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return task, variables.replace(params=jax.tree.unflatten(tree, moved))


def log_probs(task: LanguageModel, variables: Variables) -> jax.Array:
    """[16] nats of every picture, of no class."""
    return jax.jit(task.log_prob)(variables, {"made": {"value": EVERY}, "row": np.arange(16)}, jax.random.key(0))
