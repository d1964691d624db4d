"""Spherical interpolation: its ends, its angles, its lengths, and the straight line where there is no circle."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.interpolation import spherical


def test_angles_are_in_proportion_and_lengths_stay():
    first, second = jax.random.normal(jax.random.key(0), (2, 5, 3, 4))
    lengths = (jnp.linalg.norm(one.reshape(5, -1), axis=1)[:, None, None] for one in (first, second))
    a, b = (one / length for one, length in zip((first, second), lengths, strict=True))
    share = jnp.linspace(0, 1, 5)
    found = np.asarray(spherical(a, b, share)).reshape(5, -1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    whole = np.arccos((np.asarray(a) * np.asarray(b)).sum(axis=(1, 2)))
    angle = np.arccos(np.clip((found * np.asarray(a).reshape(5, -1)).sum(axis=1), -1, 1))
    np.testing.assert_allclose(angle, whole * np.asarray(share), atol=2e-3)
    ends = spherical(first, second, jnp.array([0.0, 1, 0, 1, 0]))
    np.testing.assert_allclose(ends, jnp.where(jnp.arange(5)[:, None, None] % 2, second, first), atol=1e-5)


def test_without_an_angle_it_is_the_straight_line():
    """Of parallel vectors, opposite ones, and where one of both or both are zero, as at a truncation of 0."""
    a = jnp.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [2.0, 1.0], [0.0, 0.0]])
    b = jnp.array([[3.0, 6.0], [-1.0, -2.0], [2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    for share in (0.0, 0.25, 0.5, 1.0):
        np.testing.assert_allclose(spherical(a, b, jnp.full(5, share)), (1 - share) * a + share * b, atol=1e-6)
