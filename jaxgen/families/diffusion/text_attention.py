"""Attention of a picture's features to the places of a prompt, for whichever network denoises."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.nn.multi_head_attention import CrossAttention
from jaxgen.nn.precision import Precision

Text = tuple[jax.Array, jax.Array]  # the places [B, S, E] of a text, and which of them are a row's own [B, S]


class TextAttention(nn.Module):
    """What attention to a text's places adds to features [B, T, D]: at first nothing, as in adaLN-Zero."""

    heads: int
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, text: Text) -> jax.Array:
        width, zeros = x.shape[-1], nn.initializers.zeros
        modulation = self.precision.dense(3 * width, kernel_init=zeros, name="modulation")(condition)
        shift, scale, gate = jnp.split(modulation[:, None], 3, axis=-1)
        attention = CrossAttention(self.heads, width, self.precision, name="attention")
        normed = nn.LayerNorm(use_bias=False, use_scale=False, dtype=jnp.float32, name="norm")(x)
        return gate * attention(normed * (1 + scale) + shift, attention.attended(*text))
