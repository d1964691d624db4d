"""Keys and values that are kept for the tokens to come: a layer's, and those of all blocks of a scanned network."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

Cache = dict[str, jax.Array]  # "key" and "value", both [B, H, room, D], zeros where nothing is yet
Caches = dict[str, jax.Array]  # the same of all L blocks, [B, L, H, room, D]


def empty_cache(batch_size: int, room: int, heads: int, width: int, dtype: jnp.dtype = jnp.float32) -> Cache:
    """A cache with room for so many tokens of `width` features, cut into `heads`."""
    zeros = jnp.zeros((batch_size, heads, room, width // heads), dtype)
    return {"key": zeros, "value": zeros}


def written(held: jax.Array, new: jax.Array, position: jax.Array, axis: int = 2) -> jax.Array:
    """`held` with `new` from each row's `position` [B] on, along `axis`, which holds places."""

    def one(row: jax.Array, part: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(row, part, start, axis - 1)

    return jax.vmap(one)(held, new, position)


def block_cache(caches: Caches, number: jax.Array) -> Cache:
    """The cache of block `number`."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, number, 1, keepdims=False), caches)


def with_block_cache(caches: Caches, number: jax.Array, cache: Cache, position: jax.Array, count: int) -> Caches:
    """`caches` with the `count` places of `cache` from each row's `position` [B] on, which are new in block `number`.

    They alone are written: a loop over blocks then changes what it hands on in place.
    """

    def one(rows: jax.Array, row: jax.Array, start: jax.Array) -> jax.Array:
        new = jax.lax.dynamic_slice_in_dim(row, start, count, axis=1)
        return jax.lax.dynamic_update_slice(rows, new[None], (number, 0, start, 0))

    return jax.tree.map(lambda all_of_them, its: jax.vmap(one)(all_of_them, its, position), caches, cache)
