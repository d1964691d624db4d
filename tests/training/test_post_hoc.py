"""Averages of a power of the step: their closed form, and any width out of two."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.training.averages import PowerEMA, power_of
from jaxgen.training.post_hoc import Profile, combination, products


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_the_width_is_the_standard_deviation_of_the_weights(width):
    γ, τ = power_of(width), (np.arange(200_000) + 0.5) / 200_000
    weights = (γ + 1) * τ**γ
    mean = np.mean(weights * τ)
    np.testing.assert_allclose(np.sqrt(np.mean(weights * (τ - mean) ** 2)), width, rtol=1e-6)


def test_an_average_weighs_each_step_as_its_closed_form():
    """Of parameters that are zero but at one step: that step's weight, p(τ) = (γ + 1) τ^γ / t^(γ + 1)."""
    average, steps = PowerEMA(0.1), 400
    params = jnp.eye(steps)

    def one(average_now, step):
        return average.update(average_now, params[step - 1], step, 1), None

    found = jax.jit(lambda: jax.lax.scan(one, jnp.ones(steps), jnp.arange(1, steps + 1))[0])()
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)  # nothing is left of what it began with
    τ, γ = np.arange(1, steps + 1) - 0.5, average.power
    np.testing.assert_allclose(found, (γ + 1) * τ**γ / steps ** (γ + 1), atol=1e-4)


@pytest.mark.parametrize(("first", "second"), [((50, 3.0), (80, 7.0)), ((80, 3.0), (50, 7.0)), ((60, 2.0), (60, 5.0))])
def test_products_are_the_integrals_of_the_weights(first, second):
    τ = (np.arange(200_000) + 0.5) / 2000

    def weights(t, γ):
        return np.where(τ <= t, (γ + 1) * τ**γ / t ** (γ + 1), 0)

    np.testing.assert_allclose(products(*first, *second), np.sum(weights(*first) * weights(*second)) / 2000, rtol=1e-4)


def test_a_known_average_is_itself_and_others_are_nearer_the_more_are_known():
    known = [Profile(step, power_of(width)) for step in range(10, 201, 10) for width in (0.05, 0.1)]
    factors, distance = combination(known, known[-1])
    assert distance < 1e-6 and factors[-1] == pytest.approx(1) and np.abs(factors[:-1]).max() < 1e-6
    few, many = (combination(known[first:], Profile(200, power_of(0.15)))[1] for first in (-4, 0))
    assert many < 0.01 < few


def test_of_few_averages_the_factors_sum_to_one_and_no_others_that_do_are_nearer():
    """Of one average alone nothing is left to choose; its parameters scaled down would be another network's."""
    wanted = Profile(200, power_of(0.25))
    assert combination([Profile(200, power_of(0.1))], wanted)[0] == pytest.approx(1)
    known = [Profile(step, power_of(width)) for step in (160, 180, 200) for width in (0.05, 0.1)]
    factors, distance = combination(known, wanted)
    assert factors.sum() == pytest.approx(1)
    τ = (np.arange(20_000) + 0.5) / 100
    p = np.stack([np.where(τ <= t, (γ + 1) * (τ / t) ** γ / t, 0) for t, γ in [*known, wanted]])
    # the gradient of the squared distance is the same along all factors
    slopes = p[:-1] @ (factors @ p[:-1] - p[-1]) / 100
    np.testing.assert_allclose(slopes, slopes.mean(), atol=1e-3 * np.abs(p @ p[-1] / 100).max())
    np.testing.assert_allclose(distance, np.linalg.norm(factors @ p[:-1] - p[-1]) / np.linalg.norm(p[-1]), rtol=1e-2)


def test_widths_that_no_average_has_are_refused_in_a_sentence():
    for width in (0.0, 0.3):
        with pytest.raises(UserError, match=r"width is .*give"):
            PowerEMA(width)
