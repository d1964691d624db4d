"""What is kept of a block for its backward pass: memory is paid for with operations done twice."""
# SPDX-License-Identifier: Apache-2.0

import enum

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

    def of(self, block: type[nn.Module], scanned: bool = False) -> type[nn.Module]:
        """`block` under this policy, to be named as it would be; `scanned` where it is the body of a loop."""
        if self is Remat.NONE:
            return block
        policies = jax.checkpoint_policies
        policy = policies.dots_with_no_batch_dims_saveable if self is Remat.PRODUCTS else policies.nothing_saveable
        return nn.remat(block, policy=policy, prevent_cse=not scanned)  # a loop's body cannot be merged with another's
