"""Dropout keeps the mean, drops a row's features all along it, and depends on the row's key alone."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.nn.dropout import dropped, numbered

KEYS = jax.random.split(jax.random.key(0), 4000)


def test_the_mean_stays_and_a_share_is_dropped():
    y = np.asarray(dropped(jnp.ones((4000, 5)), 0.3, KEYS))
    assert set(np.unique(y.round(4))) == {0.0, np.float32(1 / 0.7).round(4)}
    assert np.abs(y.mean(0) - 1).max() < 0.05 and abs((y == 0).mean() - 0.3) < 0.02


def test_a_mask_is_one_all_along_a_row_and_the_rows_own():
    y = np.asarray(dropped(jnp.ones((4000, 7, 5)), 0.3, KEYS))
    assert (y == y[:, :1]).all()
    assert np.array_equal(y[100:110], dropped(jnp.ones((10, 7, 5)), 0.3, KEYS[100:110]))
    other = dropped(jnp.ones((4000, 7, 5)), 0.3, numbered(KEYS, 1))
    assert 0.07 < np.mean((np.asarray(other) == 0) & (y == 0)) < 0.11  # another number is another draw


def test_nothing_is_dropped_without_keys():
    x = jnp.arange(6.0).reshape(2, 3)
    assert dropped(x, 0.9, None) is x and dropped(x, 0.0, KEYS[:2]) is x and numbered(None, 3) is None
