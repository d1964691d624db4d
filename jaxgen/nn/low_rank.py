"""What a dense layer learns in addition to its kernel, as a product of two thin matrices (LoRA, arXiv 2106.09685)."""
# SPDX-License-Identifier: Apache-2.0

import jax
from flax import linen as nn

from jaxgen.nn.precision import Precision


class LowRank(nn.Module):
    """[..., D] to [..., features] through `rank` features: x A B (eq. 3), B zero at first, no biases."""

    rank: int
    features: int
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inside = self.precision.dense(self.rank, use_bias=False, name="in")(x)
        return self.precision.dense(
            self.features, use_bias=False, kernel_init=nn.initializers.zeros, name="out"
        )(inside)
