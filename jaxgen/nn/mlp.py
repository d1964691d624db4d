"""The two dense layers of a transformer block."""
# SPDX-License-Identifier: Apache-2.0

import jax
from flax import linen as nn

from jaxgen.nn.precision import Precision


class MLP(nn.Module):
    """[..., D] -> [..., D], position by position, through GELU units `hidden` in number (eq. 2, arXiv 1706.03762)."""

    hidden: int
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        flat = x.reshape(-1, x.shape[-1])  # on a CPU the gradient of [B, T, D] @ [D, E] takes longer
        hidden = nn.gelu(self.precision.dense(self.hidden, name="in")(flat))
        return self.precision.dense(x.shape[-1], name="out")(hidden).reshape(x.shape)
