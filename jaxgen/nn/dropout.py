"""Dropout with a mask a row, the same features all along its sequence (arXiv 1512.05287)."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp


def numbered(keys: jax.Array | None, number: int) -> jax.Array | None:
    """[B] keys for draw `number` of a row; None stays None."""
    return None if keys is None else jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def numbered_each(keys: jax.Array | None, count: int) -> jax.Array | None:
    """[B, count] keys: `numbered` for each of the first `count` draws."""
    return None if keys is None else jax.vmap(lambda n: numbered(keys, n), out_axes=1)(jnp.arange(count))


def dropped(x: jax.Array, rate: float, keys: jax.Array | None) -> jax.Array:
    """`x` [B, ..., D] with a share `rate` of each row's features set to 0 and the others scaled up.

    Row b draws from `keys[b]` alone; without keys nothing is dropped.
    """
    if keys is None or rate == 0:
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[-1:]))(keys)  # [B, D]
    return jnp.where(kept.reshape(len(x), *[1] * (x.ndim - 2), -1), x / (1 - rate), 0.0)
