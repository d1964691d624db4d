"""What is kept of a block for its backward pass: memory is paid for with operations done twice."""
# SPDX-License-Identifier: Apache-2.0

import enum
from typing import Any

import jax
from flax import linen as nn


class Remat(enum.Enum):
    """Rematerialisation, block by block (arXiv 1604.06174); gradients are the same in all three, up to rounding.

    NONE keeps whatever the backward pass reads. PRODUCTS keeps a block's input and the results of its dense layers, and
    computes norms, activations and attention again. FULL keeps the input alone: about a third more operations. For a
    CPU XLA merges what is computed twice: there memory is saved in a scan over blocks alone (benchmarks/depth.py).
    """

    NONE = "none"
    PRODUCTS = "products"
    FULL = "full"

    def of(self, block: type[nn.Module]) -> type[nn.Module]:
        """`block` under this policy, to be named as it would be."""
        return self._applied(block, prevent_cse=True)

    def scanned(self, block: type[nn.Module], length: int, in_axes: Any, out_axes: int = 0) -> type[nn.Module]:
        """`length` blocks in one loop, each under this policy: (x, what each is given, ...) -> (x, what each gives).

        Their parameters are stacked with the blocks leading, so that one is compiled for all. `in_axes` has for each
        argument after x the axis along which it holds every block's own, or `nn.broadcast` where all are given it.
        """
        return nn.scan(
            self._applied(block, prevent_cse=False),  # a loop's body cannot be merged with another's
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=in_axes,
            out_axes=out_axes,
            length=length,
        )

    def _applied(self, block: type[nn.Module], prevent_cse: bool) -> type[nn.Module]:
        if self is Remat.NONE:
            return block
        policies = jax.checkpoint_policies
        policy = policies.dots_with_no_batch_dims_saveable if self is Remat.PRODUCTS else policies.nothing_saveable
        return nn.remat(block, policy=policy, prevent_cse=prevent_cse)
