"""Multi-head attention: of a sequence to itself, whole or going on from a cache, and to another sequence."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from jaxgen.errors import UserError
from jaxgen.nn.decoder_parts import out_init
from jaxgen.nn.key_value_cache import Cache, written
from jaxgen.nn.low_rank import LowRank
from jaxgen.nn.precision import Precision
from jaxgen.ops.attention import (
    attend,
    attend_cached,
    attend_causally,
    attention_weights,
    by_head,
    causal_mask,
    rotate,
    same_segment,
)
from jaxgen.ops.sequences import place_in_segment
from jaxgen.types import LOW_RANK


def check_rotary_heads(width: int, heads: int) -> None:
    """UserError where `heads` do not cut `width` features into even numbers, which rotary positions turn in pairs."""
    if heads < 1 or width < 1 or width % (2 * heads):
        raise UserError(
            f"width is {width} and heads {heads}; give each head an even number of features, such as "
            f"width={max(2 * heads, 2) * 8}"
        )


class SelfAttention(nn.Module):
    """Self-attention with `heads` heads over [B, T, D]; `heads` divides D, and D / heads is even where `rotary` is set.

    `causal` hides from each token those after it; `rotary` tells the heads how far apart two tokens are. With a
    `low_rank` both layers learn an addition of that rank (core/low_rank_surgery.py); 0: none. `query_key_norm` and
    `zero_init` are those of DecoderParts.
    """

    heads: int
    causal: bool = False
    rotary: bool = False
    precision: Precision = Precision.FLOAT32
    low_rank: int = 0
    query_key_norm: bool = False
    zero_init: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: Cache | None = None,
        position: jax.Array | None = None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        """[B, T, D], and the cache with these T tokens in it.

        `position` [B] is how many tokens each row of `cache` holds; only a causal layer can go on from one, and the
        caller sees to it that there is room left. Without a cache the sequence is whole, and None comes back; then
        `segment` [B, T] may number the documents in each row, which are attended to and counted one by one.
        """
        size, length, width = x.shape
        flat = x.reshape(-1, width)  # on a CPU the gradient of [B, T, D] @ [D, E] takes longer
        qkv = self._dense(3 * width, "query_key_value", flat)
        q, k, v = jnp.split(qkv.reshape(size, length, 3 * self.heads, width // self.heads), 3, axis=2)
        if self.query_key_norm:
            q, k = nn.RMSNorm(name="query_norm")(q).astype(q.dtype), nn.RMSNorm(name="key_norm")(k).astype(k.dtype)
        place = jnp.arange(length, dtype=jnp.int32)[None]
        positions = place if cache is None else place + position[:, None]  # [B or 1, T]
        if self.rotary:
            turned = positions if segment is None else place_in_segment(segment)
            q, k = rotate(q, turned), rotate(k, turned)
        if cache is not None:
            k, v = by_head(k), by_head(v)
            cache = {"key": written(cache["key"], k, position), "value": written(cache["value"], v, position)}
            y = attend_cached(q, cache["key"], cache["value"], self._mask(positions, cache["key"].shape[2], segment))
        elif self.causal and segment is None:
            y = attend_causally(q, k, v)
        else:
            y = attend(q, k, v, self._mask(positions, length, segment))
        y = self._dense(width, "out", y.reshape(-1, width), out_init(self.zero_init))
        return y.reshape(x.shape), cache

    def _dense(
        self, features: int, name: str, x: jax.Array, init: nn.initializers.Initializer = out_init(zero=False)
    ) -> jax.Array:
        y = self.precision.dense(features, kernel_init=init, name=name)(x)
        if not self.low_rank:
            return y
        return y + LowRank(self.low_rank, features, self.precision, name=name + LOW_RANK)(x)

    def _mask(self, positions: jax.Array, length: int, segment: jax.Array | None) -> jax.Array | None:
        """[B or 1, 1, T, length]: true where a query at `positions` may see a key; None where it may see all."""
        causal = causal_mask(positions, length) if self.causal else None
        if segment is None:
            return causal
        return same_segment(segment) if causal is None else causal & same_segment(segment)


@struct.dataclass
class Wait:
    """Wait-k: what asks at place t sees the first (t + k) * stride places alone.

    arXiv 1810.08398, eq. 4; `stride` is the fixed pre-decision of arXiv 2011.02048, section 3, for what has more places
    than tokens are made of it, as recordings have.
    """

    k: jax.Array  # [B]
    stride: int = struct.field(pytree_node=False, default=1)

    def seen(self, place: jax.Array) -> jax.Array:
        """[B, N] the places that are seen from `place` [B or 1, N]."""
        return (place + self.k[:, None]) * self.stride


@struct.dataclass
class Attended:
    """A sequence of S places made ready to be attended to: keys and values, once for all that ask."""

    key: jax.Array  # [B, S, H, D]
    value: jax.Array  # [B, S, H, D]
    mask: jax.Array  # [B, S], true for the places that may be seen
    wait: Wait | None = None  # None: all of them are seen at once


def nothing_attended(
    batch_size: int, places: int, heads: int, width: int, dtype: jnp.dtype = jnp.float32, wait: Wait | None = None
) -> Attended:
    """A sequence of no place yet, with room for so many."""
    zeros = jnp.zeros((batch_size, places, heads, width // heads), dtype)
    return Attended(zeros, zeros, mask=jnp.zeros((batch_size, places), bool), wait=wait)


class CrossAttention(nn.Module):
    """Attention of one sequence to another with `heads` heads of together `width` features (arXiv 1706.03762, 3.2.3).

    Where it asks for the "intermediates" collection, "weights" [N, T, S] are kept there, the mean over the heads.
    """

    heads: int
    width: int
    precision: Precision = Precision.FLOAT32

    def setup(self):
        self.query = self.precision.dense(self.width)
        self.key_value = self.precision.dense(2 * self.width)
        self.out = self.precision.dense(self.width)

    def attended(self, sequence: jax.Array, mask: jax.Array, wait: Wait | None = None) -> Attended:
        """Keys and values of `sequence` [B, S, E]; those outside `mask` [B, S], or beyond `wait`, are not seen."""
        size, length, features = sequence.shape
        both = self.key_value(sequence.reshape(-1, features)).reshape(size, length, 2 * self.heads, -1)
        key, value = jnp.split(both, 2, axis=2)
        return Attended(key, value, mask, wait)

    def extended(self, to: Attended, sequence: jax.Array, own: jax.Array, position: jax.Array) -> Attended:
        """`to` with the places `sequence` [B, K, E] from `position` [B] on, those [B, K] that are a row's `own`."""
        new = self.attended(sequence, own)
        pairs = (to.key, new.key), (to.value, new.value), (to.mask, own)
        key, value, mask = (written(held, more, position, axis=1) for held, more in pairs)
        return to.replace(key=key, value=value, mask=mask)

    def __call__(self, x: jax.Array, to: Attended, position: jax.Array | None = None) -> jax.Array:
        """[N, T, width] of `x` [N, T, E], where N is B, or W times B with the W rows of each of B side by side.

        `position` [N] is the place of each row's first (None: 0).
        """
        count, length, features = x.shape
        rows = len(to.mask)
        q = self.query(x.reshape(-1, features)).reshape(rows, count // rows * length, self.heads, -1)
        mask = to.mask[:, None, None]  # [B, 1, 1, S]
        if to.wait is not None:
            place = jnp.arange(length) + (jnp.zeros((count, 1), jnp.int32) if position is None else position[:, None])
            seen = to.wait.seen(place.reshape(rows, -1))  # [B, W * T]
            mask = mask & (jnp.arange(to.mask.shape[1]) < seen[:, None, :, None])
        if self.is_mutable_collection("intermediates"):
            weights = attention_weights(q, to.key, mask).mean(axis=1)
            self.sow("intermediates", "weights", weights.reshape(count, length, -1))
        y = attend(q, to.key, to.value, mask)
        return self.out(y.reshape(-1, self.width)).reshape(count, length, self.width)
