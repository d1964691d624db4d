"""Self-attention in chunks: a place sees its own chunk and some before it, so that a sequence can be read as it comes.

arXiv 2010.11395 (section 3.2) and 2012.05481: what a place sees of the future is bounded by its chunk, and that does
not grow from layer to layer.
"""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.nn.precision import Precision
from jaxgen.ops.attention import attend, attend_cached, by_head, rotate

Held = dict[str, jax.Array]  # "key", "value" [B, H, R, D] and "own" [B, R] of the last R places; the batch leading


def chunk_mask(length: int, chunk: int, look_back: int | None) -> jax.Array:
    """[1, 1, T, T]: true where a place's chunk is that of a query, or one of `look_back` before it (None: of all)."""
    number = jnp.arange(length) // chunk
    behind = number[:, None] - number
    seen = (behind >= 0) if look_back is None else (behind >= 0) & (behind <= look_back)
    return seen[None, None]


class ChunkedAttention(nn.Module):
    """Self-attention with rotary positions over [B, T, D], in chunks of `chunk` places.

    Its parameters are those of SelfAttention. `look_back` None sees all earlier chunks, all of which are to be held.
    """

    heads: int
    chunk: int
    look_back: int | None = None
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(
        self, x: jax.Array, own: jax.Array, held: Held | None = None, position: jax.Array | None = None
    ) -> tuple[jax.Array, Held | None]:
        """[B, T, D], and with `held` what is held after it; then `x` is one chunk whose first place is `position` [B].

        `own` [B, T] are the places that a row has.
        """
        size, length, width = x.shape
        qkv = self.precision.dense(3 * width, name="query_key_value")(x.reshape(-1, width))
        q, k, v = jnp.split(qkv.reshape(size, length, 3 * self.heads, width // self.heads), 3, axis=2)
        place = jnp.arange(length, dtype=jnp.int32)[None] + (0 if position is None else position[:, None])
        q, k = rotate(q, place), rotate(k, place)
        if held is None:
            y = attend(q, k, v, own[:, None, None] & chunk_mask(length, self.chunk, self.look_back))
        else:
            k, v = (jnp.concatenate([held[name], by_head(new)], axis=2) for name, new in (("key", k), ("value", v)))
            seen = jnp.concatenate([held["own"], own], axis=1)
            y = attend_cached(q, k, v, seen[:, None, None])
            held = {"key": k[:, :, length:], "value": v[:, :, length:], "own": seen[:, length:]}
        return self.precision.dense(width, name="out")(y.reshape(-1, width)).reshape(x.shape), held


def nothing_held(batch_size: int, places: int, heads: int, width: int, dtype: jnp.dtype = jnp.float32) -> Held:
    """What is held before the first chunk, with room for so many places."""
    zeros = jnp.zeros((batch_size, heads, places, width // heads), dtype)
    return {"key": zeros, "value": zeros, "own": jnp.zeros((batch_size, places), bool)}
