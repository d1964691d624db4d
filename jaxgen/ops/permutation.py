"""Shuffling without a list: a permutation of 0 .. size-1 that gives any of its entries on its own."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

ROUNDS = 6


def shuffled(key: jax.Array, epoch: jax.Array, position: jax.Array, size: int) -> jax.Array:
    """The entries at `position` (integers below `size`) of the permutation that `key` draws for `epoch` (same shape).

    A Feistel network over the next power of four, walked until it falls below `size` (cycle walking; Black and
    Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Random access is what makes a batch a pure function of
    its number: a resumed run replays nothing, and no step sorts the data set.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    seeds = jax.random.bits(key, (ROUNDS,), jnp.uint32)
    round_keys = [_mix(seed ^ _mix(epoch.astype(jnp.uint32) + jnp.uint32(1))) for seed in seeds]
    mask = jnp.uint32((1 << half) - 1)

    def encrypt(value):
        left, right = value >> half, value & mask
        for number in range(ROUNDS):
            left, right = right, left ^ (_mix(right ^ round_keys[number]) & mask)
        return (left << half) | right

    def outside(value):
        return jnp.any(value >= size)

    def walk(value):
        return jnp.where(value >= size, encrypt(value), value)

    start = encrypt(position.astype(jnp.uint32))
    return jax.lax.while_loop(outside, walk, start).astype(jnp.int32)


def _mix(value: jax.Array) -> jax.Array:
    """A 32-bit finaliser (the constants of MurmurHash3): every input bit reaches every output bit."""
    value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)


def epoch_positions(key: jax.Array, number: jax.Array, rows: jax.Array, batch_size: int, size: int) -> jax.Array:
    """[B] which example row `rows` of batch `number` is: epoch after epoch, each in an order of its own.

    Positions are 32-bit: after 4.29e9 examples the orders repeat.
    """
    position = number.astype(jnp.uint32) * jnp.uint32(batch_size) + rows.astype(jnp.uint32)
    return shuffled(key, position // jnp.uint32(size), position % jnp.uint32(size), size)
