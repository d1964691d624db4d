"""The bound in a world of a few pictures, where the denoiser, the decoder and the entropy are known."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.families.diffusion.bound import negative_bound
from jaxgen.ops.levels import to_unit

KEY = jax.random.key(11)
LEVELS = 3
WORLD = jnp.array([[0, 0], [0, 2], [2, 1], [1, 1]]).reshape(4, 1, 2, 1)  # four pictures of two pixels
SHARES = np.array([0.5, 0.25, 0.15, 0.1])
DRAWS, EACH = 64, 400


def posterior(x, σ):
    """[B, 4]: how likely each of the world's pictures is, given a noisy one."""
    distance = jnp.sum((x[:, None] - to_unit(WORLD, LEVELS)[None]) ** 2, axis=(2, 3, 4))
    return jax.nn.softmax(jnp.log(SHARES) - distance / (2 * σ[:, None] ** 2))


def denoise(x, σ):
    return jnp.tensordot(posterior(x, σ), to_unit(WORLD, LEVELS), axes=1)


def level_log_prob(x, σ):
    return jnp.log(jnp.tensordot(posterior(x, σ), jax.nn.one_hot(WORLD, LEVELS), axes=1) + 1e-12)


def bounds(sigma_min, denoise=denoise):
    """Mean bound of each of the four pictures, [4], and its standard error."""
    level = jnp.repeat(WORLD, EACH, axis=0)
    row = jnp.arange(len(level))
    ends = (sigma_min, 40.0, DRAWS, KEY, row)
    nats = jax.jit(lambda: negative_bound(denoise, level_log_prob, to_unit(level, LEVELS), level, *ends))()
    assert nats.shape == (4 * EACH,)
    nats = np.asarray(nats, np.float64).reshape(4, EACH)
    return nats.mean(axis=1), nats.std(axis=1) / np.sqrt(EACH)


def test_with_the_true_denoiser_it_is_the_entropy_of_the_world():
    entropy = -np.sum(SHARES * np.log(SHARES))
    mean, error = bounds(0.05)
    average, chance = SHARES @ mean, np.sqrt(SHARES**2 @ error**2)
    assert abs(average - entropy) < 4 * chance + 0.005 and chance < 0.03


@pytest.mark.parametrize("sigma_min", [0.05, 0.3, 1.0])
def test_no_picture_is_held_likelier_than_it_is(sigma_min):
    mean, error = bounds(sigma_min)
    assert np.all(mean > -np.log(SHARES) - 4 * error)


def test_a_worse_denoiser_has_a_worse_bound():
    mean, _ = bounds(0.05)
    blurred, _ = bounds(0.05, lambda x, σ: denoise(x, 1.5 * σ))
    assert SHARES @ blurred > SHARES @ mean + 0.05


def test_each_row_draws_its_own_noise():
    level, row = jnp.concatenate([WORLD, WORLD]), jnp.arange(8)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def of(start, stop):
        cut = slice(start, stop)
        clean = to_unit(level[cut], LEVELS)
        return negative_bound(denoise, level_log_prob, clean, level[cut], 0.05, 40.0, 4, KEY, row[cut])

    np.testing.assert_allclose(of(0, 8)[2:5], of(2, 5), rtol=1e-4)
    assert np.all(of(0, 4) != of(4, 8))
