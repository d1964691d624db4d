"""Each row's noise is its own: the same alone as in a batch, and as even as any."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.ops.rows import integers, normal, uniform


def test_a_row_draws_the_same_alone_as_in_any_batch():
    key, rows = jax.random.key(3), jnp.arange(12)
    for whole in (normal(key, rows, (5,)), uniform(key, rows, (5,)), integers(key, rows, (5,), 17)):
        assert whole.shape == (12, 5)
    assert np.array_equal(normal(key, rows, (5,))[7:9], normal(key, jnp.array([7, 8]), (5,)))


def test_rows_are_independent_standard_normal():
    drawn = np.asarray(normal(jax.random.key(0), jnp.arange(4000), (4,)))
    assert np.abs(drawn.mean()) < 0.03 and abs(drawn.std() - 1) < 0.03
    assert np.abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.05


def test_integers_are_even():
    counts = np.bincount(np.asarray(integers(jax.random.key(0), jnp.arange(6000), (1,), 6)).ravel(), minlength=6)
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # the 99.9 % point of 5 degrees of freedom
