"""Scaled dot-product attention, the causal mask and rotary positions.

`jax.nn.dot_product_attention(implementation=None)` gives the same results (within 1e-6, gradients 3e-6), but takes
longer on a CPU, forward and backward: 35 against 25 ms at [64, 65, 4, 16], 164 against 119 at [16, 256, 4, 32], 1,039
against 819 at [8, 512, 8, 64]. (jax 0.10.2, two cores.)
"""
# SPDX-License-Identifier: Apache-2.0

import os

import jax
import jax.numpy as jnp


def attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """softmax(q k^T / sqrt(D)) v, head by head (eq. 1, arXiv 1706.03762).

    `q` [B, T, H, D] asks, `k` and `v` [B, S, H, D] answer; returns [B, T, H, D]. `mask` [B or 1, 1, T, S] is true where
    a query may see a key (None: everywhere); a query that may see none sees all of them evenly.
    """
    weights = attention_weights(q, k, mask).astype(v.dtype)
    return jnp.einsum("bhts,bshd->bthd", weights, v)


def attend_cached(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """`attend` to keys and values [B, H, S, D], which a cache holds head by head and every query reads anew.

    The products read them as they lie. Of [B, S, H, D] XLA transposes and copies both at each query first: with one
    query that takes longer than the attention, 7.7 against 2.7 ms at [64, 784, 4, 32], 0.53 against 0.10 at
    [16, 256, 4, 64] (jax 0.10.2, one core).
    """
    scores = jnp.einsum("bthd,bhsd->bhts", q, k, preferred_element_type=jnp.float32)
    return jnp.einsum("bhts,bhsd->bthd", _weights(scores, q, mask).astype(v.dtype), v)


def by_head(x: jax.Array) -> jax.Array:
    """Keys or values [B, S, H, D] as `attend_cached` has them, [B, H, S, D]."""
    return x.transpose(0, 2, 1, 3)


@jax.named_scope("attend_causally")  # benchmarks/model_flops.py counts half of what has this name
def attend_causally(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """`attend` of whole sequences, [B, T, H, D] each, in which no query sees a later key.

    In bfloat16 on a GPU it is cuDNN's fused kernel (FlashAttention, arXiv 2205.14135), which keeps no [B, H, T, T],
    where the user has allowed sums in no fixed order; its results differ from the others' in bfloat16's last bits.
    """
    fits = q.dtype == jnp.bfloat16 and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128
    if fits and jax.default_backend() == "gpu" and not _fixed_order():
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
    return attend(q, k, v, causal_mask(jnp.arange(q.shape[1])[None], k.shape[1]))


def _fixed_order() -> bool:
    """Whether XLA must sum in one order on GPUs: the fused kernel's gradient fails then (jaxlib 0.11.2, an H200)."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    return any(f"--xla_gpu_{name}_ops=true" in flags for name in ("exclude_nondeterministic", "deterministic"))


def attention_weights(q: jax.Array, k: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """[B, H, T, S] float32: how much of each key `attend` gives each query; they sum to 1 over the keys."""
    return _weights(jnp.einsum("bthd,bshd->bhts", q, k, preferred_element_type=jnp.float32), q, mask)


def _weights(scores: jax.Array, q: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The softmax of the products [B, H, T, S] of queries and keys."""
    scores = scores * q.shape[-1] ** -0.5
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
    return jax.nn.softmax(scores, axis=-1)


def causal_mask(positions: jax.Array, length: int) -> jax.Array:
    """[B, 1, T, length]: true where the query at `positions` [B, T] may see key 0 .. length-1: at or before itself."""
    return (positions[:, :, None] >= jnp.arange(length))[:, None]


def same_segment(segment: jax.Array) -> jax.Array:
    """[B, 1, T, T]: true where query and key bear the same number in `segment` [B, T]."""
    return (segment[:, :, None] == segment[:, None, :])[:, None]


def rotate(x: jax.Array, positions: jax.Array) -> jax.Array:
    """Rotary positions (RoFormer, arXiv 2104.09864): pairs of features of `x` [B, T, H, D] turned by their position.

    `positions` [B or 1, T]; D is even. Feature i is paired with i + D/2 and turned by the angle m θ_i (eq. 15), so that
    the product of a query at m and a key at n knows m - n alone (eq. 16).
    """
    half = x.shape[-1] // 2
    θ = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (positions[..., None] * θ)[:, :, None]  # [B, T, 1, D/2]
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    x1, x2 = x[..., :half], x[..., half:]
    return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)
