"""An average's half-life is what it says, and so it is where a step's change is below float32's resolution."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.training.averages import EMA, Average, UniformAverage

LONG = EMA(half_life=500_000, ramp=1e9)


def test_after_a_half_life_of_examples_half_the_old_value_is_left():
    average, value = EMA(half_life=640, ramp=1e9), jnp.float32(1.0)
    for step in range(1, 11):  # ten batches of 64
        value = average.update(value, jnp.float32(0.0), jnp.int32(step), 64)
    assert float(value) == pytest.approx(0.5, rel=1e-5)


def test_the_ramp_forgets_the_first_parameters():
    average, value = EMA(half_life=1e9, ramp=0.05), jnp.float32(1.0)
    for step in range(1, 201):
        value = average.update(value, jnp.float32(0.0), jnp.int32(step), 1)
    assert float(value) < 1e-3


@functools.partial(jax.jit, static_argnums=(0, 4))
def followed(average: Average, start: jax.Array, params: jax.Array, steps: jax.Array, batch_size: int) -> jax.Array:
    """The average after `steps` steps in which the parameters are params[(step - 1) % len]."""

    def one(step: jax.Array, value: jax.Array) -> jax.Array:
        return average.update(value, params[(step - 1) % len(params)], step, batch_size)

    return jax.lax.fori_loop(1, steps + 1, one, start)


@pytest.mark.parametrize("distance", [1.0, 1e-2, 1e-3])
def test_a_long_average_follows_the_closed_form_in_small_steps(distance):
    """20,000 batches of 8 under a half-life of 500,000: 0.8 of the way is left, in steps of 1e-8 of the average.

    From a distance of 1e-3 an average in float32 alone does not move at all.
    """
    start = jnp.linspace(0.6, 1.9, 257)
    after = followed(LONG, start, start[None] + distance, jnp.int32(20_000), 8)
    gone = (np.asarray(after, np.float64) - np.asarray(start)) / distance
    expected = 1 - 0.5 ** (8 * 20_000 / 500_000)
    # a value that moves so little is told to no more than its last bit, 1.2e-7
    np.testing.assert_allclose(gone, expected, rtol=1e-3, atol=3 * 1.2e-7 / distance)


def test_a_long_average_of_noise_is_its_mean():
    """Parameters that jump by a hundredth every step: nothing of the rounding may depend on where they jump to."""
    values = 1.0 + 0.01 * jax.random.normal(jax.random.key(0), (1000, 64))
    after = followed(EMA(half_life=50_000, ramp=1e9), jnp.ones(64), values, jnp.int32(100_000), 8)
    assert np.abs(np.asarray(after - values.mean(axis=0))).max() < 1e-4


@settings(max_examples=50)
@given(
    value=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    change=st.floats(-1, 1, width=32, allow_subnormal=False),
    step=st.integers(1, 2**31 - 1),
)
def test_a_step_ends_beside_the_exact_sum_between_average_and_parameter(value, change, step):
    target = np.float32(np.float32(value) + np.float32(change))
    found = np.asarray(LONG.update(jnp.float32(value), jnp.asarray(target), jnp.int32(step), 8))
    share = -np.expm1(-np.log(2) * 8 / 500_000)
    exact = np.float64(np.float32(value)) + share * (np.float64(target) - np.float64(np.float32(value)))
    rounded = 3 * 2.0**-24 * share * abs(np.float64(target) - value)  # of the share, the difference and their product
    assert abs(found - exact) <= 1.01 * np.spacing(np.float32(max(abs(value), abs(exact)))) + rounded + 1e-30
    low, high = sorted((np.float32(value), target))
    assert low <= found <= high


def test_what_stands_still_is_not_changed_in_a_single_bit():
    values = jnp.asarray(np.random.default_rng(0).normal(size=10_000), jnp.float32)
    for average in (EMA(1000.0), LONG, UniformAverage(start=2)):
        update = jax.jit(lambda values, step, average=average: average.update(values, values, step, 64))
        for step in range(1, 4):
            assert np.array_equal(update(values, jnp.int32(step)), values)


def test_a_uniform_average_is_the_mean_from_its_start_on():
    values = jax.random.normal(jax.random.key(0), (1000, 16))
    for start in (1, 400, 1000):
        found = followed(UniformAverage(start=start), jnp.zeros(16), values, jnp.int32(1000), 8)
        np.testing.assert_allclose(found, values[start - 1 :].mean(axis=0), rtol=1e-4, atol=1e-5)
    before = followed(UniformAverage(start=400), jnp.zeros(16), values, jnp.int32(300), 8)
    np.testing.assert_allclose(before, values[299], rtol=1e-6)


@pytest.mark.parametrize("settings", [{"half_life": 0}, {"half_life": 10, "ramp": 0}])
def test_a_half_life_of_nothing_is_refused(settings):
    with pytest.raises(UserError, match="must be above 0"):
        EMA(**settings)


def test_a_mean_starts_at_a_step():
    with pytest.raises(UserError, match="start is 0; give a step"):
        UniformAverage(start=0)
