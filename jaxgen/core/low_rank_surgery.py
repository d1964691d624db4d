"""Surgeries for low-rank adaptation (LoRA, arXiv 2106.09685): thin matrices beside dense kernels, and merged into them.

    h = x (W + A B) + b        W [D, E] frozen, A [D, rank] and B [rank, E] trained                                (1)

The network has fields of its own for the layers that are adapted (`Transformer.low_rank` and
`DiffusionTransformer.low_rank`).
"""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgen.errors import UserError
from jaxgen.types import LOW_RANK, Key, Params


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
        leaves = flatten_dict(params, sep="/")
        kernels = [path.removesuffix("/kernel") for path in leaves if path.endswith("/kernel")]
        kernels = [path for path in kernels if f"{LOW_RANK}/" not in path]
        layers = [path for path in kernels if re.search(self.layers, path) and leaves[f"{path}/kernel"].ndim == 2]
        if not layers:
            raise UserError(f"start.surgery: no dense layer of the start matches {self.layers!r}; give other `layers`")
        if adapted := [path for path in layers if f"{path}{LOW_RANK}/in/kernel" in leaves]:
            raise UserError(
                f"start.surgery: {adapted[0]} has an addition of low rank already, which would be lost; put "
                "MergeLowRank before AddLowRank"
            )
        for number, path in enumerate(layers):
            pair = self._pair(leaves[f"{path}/kernel"], jax.random.fold_in(key, number))
            leaves |= {f"{path}{LOW_RANK}/{name}/kernel": leaf for name, leaf in pair.items()}
        return unflatten_dict(leaves, sep="/")

    def _pair(self, kernel: jax.Array, key: Key) -> dict[str, jax.Array]:
        inside, outside = kernel.shape
        a = jax.random.normal(key, (inside, self.rank), jnp.float32) / np.sqrt(inside)
        return {"in": a, "out": jnp.zeros((self.rank, outside), jnp.float32)}


@dataclass(frozen=True)
class MergeLowRank:
    """W + A B in the place of each W that has an A and a B: the network of before computes the same with it."""

    def __call__(self, params: Params, key: Key) -> Params:
        leaves = flatten_dict(params, sep="/")
        end = f"{LOW_RANK}/in/kernel"
        layers = [path.removesuffix(end) for path in leaves if path.endswith(end)]
        if not layers:
            raise UserError("start.surgery: the start has nothing of low rank to merge; leave MergeLowRank out")
        for path in layers:
            a, b = (leaves.pop(f"{path}{LOW_RANK}/{name}/kernel") for name in ("in", "out"))
            # in full precision: an accelerator's default would round the product
            product = jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
            leaves[f"{path}/kernel"] = leaves[f"{path}/kernel"] + product
        return unflatten_dict(leaves, sep="/")
