"""A shuffle without a list is a permutation, a new one each epoch, and looks like chance."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.ops.permutation import epoch_positions, shuffled


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_every_entry_comes_once(size, seed, epoch):
    order = jax.jit(shuffled, static_argnums=3)(jax.random.key(seed), jnp.full(size, epoch), jnp.arange(size), size)
    assert sorted(order.tolist()) == list(range(size))


def test_batches_go_through_epoch_after_epoch_each_in_its_own_order():
    rows = jnp.arange(10)
    order = np.concatenate([epoch_positions(jax.random.key(0), jnp.int32(n), rows, 10, 35) for n in range(7)])
    first, second = order[:35], order[35:70]
    assert sorted(first) == sorted(second) == list(range(35))
    assert np.mean(first == second) < 0.3


def test_any_part_of_a_batch_can_be_had_alone():
    whole = epoch_positions(jax.random.key(1), jnp.int32(5), jnp.arange(16), 16, 1437)
    part = epoch_positions(jax.random.key(1), jnp.int32(5), jnp.arange(4, 8), 16, 1437)
    assert np.array_equal(whole[4:8], part)


def test_where_an_entry_lands_is_even_over_keys():
    """Chi-square of the first entry's place over 2,000 keys: 9.2 degrees of freedom's 99.9 % point is near 28."""
    places = jax.vmap(lambda seed: shuffled(jax.random.key(seed), jnp.zeros(1, int), jnp.zeros(1, int), 10)[0])(
        jnp.arange(2000)
    )
    counts = np.bincount(np.asarray(places), minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 28
