"""Estimates of damage on pictures that were damaged by known amounts."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxgen.families.diffusion.restoration.estimates import (
    Fade,
    blur_deviation,
    fade,
    noise_deviation,
    scratches,
)


def discs(size=96):
    """[1, size, size, 3]: discs of flat colours on a flat ground, from -1 to 1."""
    rows, columns = np.indices((size, size))
    x = np.full((size, size, 3), -1.0)
    for (row, column, radius), colour in zip(
        [(30, 30, 22), (60, 66, 20), (75, 25, 12)], [(1, 0.2, -1), (0.1, 1, 1), (-0.2, -1, 0.5)], strict=True
    ):
        x[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = colour
    return x[None]


def test_noise_is_found_within_a_tenth():
    noise = np.random.default_rng(0).standard_normal((3, 96, 96, 3))
    deviations = np.array([0.02, 0.1, 0.3])
    found = jax.jit(noise_deviation)(jnp.asarray(discs() + deviations[:, None, None, None] * noise, jnp.float32))
    np.testing.assert_allclose(found, deviations, rtol=0.1)
    assert noise_deviation(jnp.asarray(discs(), jnp.float32))[0] == 0


def test_blur_is_found_within_a_fifth_and_sharp_is_told_from_blurred():
    widths = (1.0, 1.8, 3.0)
    blurred = np.concatenate([ndimage.gaussian_filter(discs(), (0, width, width, 0)) for width in widths])
    found = jax.jit(blur_deviation)(jnp.asarray(np.concatenate([discs(), blurred]), jnp.float32))
    np.testing.assert_allclose(found[1:], widths, rtol=0.2)
    assert found[0] < 0.7


def test_fading_is_undone():
    true = Fade(jnp.asarray([0.5, 0.6, 0.4]).reshape(1, 1, 1, 3), jnp.asarray([0.2, 0.1, -0.1]).reshape(1, 1, 1, 3))
    clean = jnp.asarray(discs(), jnp.float32)
    found = jax.jit(fade)(true.forward(clean))
    np.testing.assert_allclose(found.gain, true.gain, atol=1e-5)
    np.testing.assert_allclose(found.offset, true.offset, atol=1e-5)
    np.testing.assert_allclose(found.undone(true.forward(clean)), clean, atol=1e-5)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_scratches_are_masked_and_little_else_is(value):
    x = 0.3 * ndimage.gaussian_filter(discs(), (0, 2, 2, 0))
    hurt = x.copy()
    hurt[:, 5:90, 44] = value
    hurt[:, np.arange(20, 80), np.arange(15, 75)] = value
    known = np.asarray(jax.jit(scratches)(jnp.asarray(hurt, jnp.float32)))[0, ..., 0]
    damaged = np.abs(hurt - x).max(axis=-1)[0] > 0
    assert (known[damaged] == 0).mean() > 0.97
    assert (known[~ndimage.binary_dilation(damaged, iterations=2)] == 1).mean() > 0.99
    assert np.asarray(scratches(jnp.asarray(x, jnp.float32))).all()
