"""SpecAugment (arXiv 1904.08779): spans of time and bands of frequency hidden, each row by draws of its own."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp


def hidden_spans(keys: jax.Array, length: jax.Array, size: int, count: int, widest: jax.Array) -> jax.Array:
    """[B, size] true inside `count` spans, which may overlap: none lies past the row's first `length` [B] places.

    Row b draws from `keys[b]`. A span's width is even on 0 .. min(`widest` [B], length), its start on all places that
    it fits (section 2 of arXiv 1904.08779, where the last place of all is left out: there t_0 < τ - t).
    """

    def one(key, length, widest):
        wide_key, start_key = jax.random.split(key)
        width = jax.random.randint(wide_key, (count,), 0, jnp.minimum(widest, length) + 1)
        start = jax.random.randint(start_key, (count,), 0, length - width + 1)
        place = jnp.arange(size)[:, None]
        return jnp.any((place >= start) & (place < start + width), axis=1)

    return jax.vmap(one)(keys, length, widest)


def hide(features: jax.Array, mask: jax.Array, hidden: jax.Array) -> jax.Array:
    """[B, F, M] features with the row's mean, over the frames of `mask` [B, F], in the place of what is `hidden`.

    The paper's spectrograms have mean zero, so that its zeros are the mean. Frames outside the mask stay as they are.
    """
    counts = mask[..., None]
    weight = jnp.maximum(1, mask.sum(axis=1) * features.shape[2])
    mean = jnp.where(counts, features, 0).sum(axis=(1, 2)) / weight
    return jnp.where(hidden & counts, mean[:, None, None], features)
