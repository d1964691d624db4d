"""The two dense layers of a transformer block."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn


class MLP(nn.Module):
    """[..., D] -> [..., D], position by position, through GELU units `hidden` in number (eq. 2, arXiv 1706.03762)."""

    hidden: int
    dtype: jnp.dtype = jnp.float32  # of products and of what comes back

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        flat = x.reshape(-1, x.shape[-1])  # on a CPU the gradient of [B, T, D] @ [D, E] takes longer
        hidden = nn.gelu(nn.Dense(self.hidden, dtype=self.dtype, name="in")(flat))
        return nn.Dense(x.shape[-1], dtype=self.dtype, name="out")(hidden).reshape(x.shape)
