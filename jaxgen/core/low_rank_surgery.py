"""Surgeries for low-rank adaptation (LoRA, arXiv 2106.09685): thin matrices beside dense kernels, and merged into them.

    h = x (W + A B) + b        W [D, E] frozen, A [D, rank] and B [rank, E] trained                                (1)

The network has fields of its own for the layers that are adapted (`DiffusionTransformer.low_rank`).
"""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import UserError
from jaxgen.types import Key, Params

SUFFIX = "_low_rank"  # of the layers that nn/low_rank.py adds


@dataclass(frozen=True)
class AddLowRank:
    """A and B for each dense layer whose path matches `layers`; B is zero, so that the outputs stay the same.

    `trainable=OnlyNew()` then trains them alone.
    """

    rank: int = 4
    layers: str = "attention/(query_key_value|out)$"

    def __post_init__(self):
        if self.rank < 1:
            raise UserError(f"start.surgery: rank is {self.rank}; give at least 1")

    def __call__(self, params: Params, key: Key) -> Params:
        added, counter = [], iter(range(10_000))

        def adapted(tree: Params, place: str) -> Params:
            grown = {}
            for name, part in tree.items():
                if not isinstance(part, dict):
                    continue
                path = f"{place}{name}"
                if re.search(self.layers, path) and getattr(part.get("kernel"), "ndim", 0) == 2:
                    grown[name + SUFFIX] = self._pair(part["kernel"], jax.random.fold_in(key, next(counter)))
                    added.append(path)
                else:
                    grown[name] = adapted(part, f"{path}/")
            return {**tree, **grown}

        found = adapted(params, "")
        if not added:
            raise UserError(f"start.surgery: no dense layer of the start matches {self.layers!r}; give other `layers`")
        return found

    def _pair(self, kernel: jax.Array, key: Key) -> Params:
        inside, outside = kernel.shape
        a = jax.random.normal(key, (inside, self.rank), jnp.float32) / np.sqrt(inside)
        return {"in": {"kernel": a}, "out": {"kernel": jnp.zeros((self.rank, outside), jnp.float32)}}


@dataclass(frozen=True)
class MergeLowRank:
    """W + A B in the place of each W that has an A and a B: the network of before computes the same with it."""

    def __call__(self, params: Params, key: Key) -> Params:
        def merged(tree: Params) -> Params:
            kept = {}
            for name, part in tree.items():
                if name.endswith(SUFFIX):
                    continue
                pair = tree.get(name + SUFFIX)
                if pair is not None:
                    kept[name] = {**part, "kernel": part["kernel"] + _product(pair)}
                else:
                    kept[name] = merged(part) if isinstance(part, dict) else part
            return kept

        found = merged(params)
        if jax.tree.structure(found) == jax.tree.structure(params):
            raise UserError("start.surgery: the start has nothing of low rank to merge; leave MergeLowRank out")
        return found


def _product(pair: Params) -> jax.Array:
    """A B [D, E] in full precision, which an accelerator's default would round."""
    return jnp.matmul(pair["in"]["kernel"], pair["out"]["kernel"], precision=jax.lax.Precision.HIGHEST)
