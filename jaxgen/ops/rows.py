"""Rows of a batch: repeated, and random numbers by row, where every example draws from a key of its own.

A draw of shape [B, ...] from one key gives a device that holds rows 8 to 15 other numbers than a lone device would give
these rows. Folding the row's number into the key instead makes a step the same function on 1 device, on N under jit and
under pmap: batches carry their rows' global numbers as `row` [B].
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


def repeated(tree: Tree, times: int) -> Tree:
    """Arrays [B, ...] as [B * times, ...], the copies of a row one after another."""
    return jax.tree.map(lambda array: jnp.repeat(array, times, axis=0), tree)


def row_keys(key: jax.Array, row: jax.Array) -> jax.Array:
    """[B] keys, one for each row number."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(row)


def draw(sampler: Callable[[jax.Array], jax.Array], key: jax.Array, row: jax.Array) -> jax.Array:
    """[B, ...]: what `sampler` draws from each row's own key."""
    return jax.vmap(sampler)(row_keys(key, row))


def normal(key: jax.Array, row: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """[B, *shape] standard normal numbers."""
    return draw(lambda one: jax.random.normal(one, shape, jnp.float32), key, row)


def uniform(key: jax.Array, row: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """[B, *shape] numbers even on [0, 1)."""
    return draw(lambda one: jax.random.uniform(one, shape, jnp.float32), key, row)


def integers(key: jax.Array, row: jax.Array, shape: tuple[int, ...], below: int) -> jax.Array:
    """[B, *shape] integers even on 0 .. below-1."""
    return draw(lambda one: jax.random.randint(one, shape, 0, below, jnp.int32), key, row)
