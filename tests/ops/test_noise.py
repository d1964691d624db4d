"""EDM's preconditioning, weights and schedule, and the Gaussian steps between two noise levels."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.ops.noise import bridge, draw_sigmas, loss_weight, normal_log_prob, preconditioning, schedule

SIGMAS = jnp.array([0.002, 0.03, 0.5, 0.8, 3.0, 80.0])


@pytest.mark.parametrize("sigma_data", [0.5, 0.8, 2.0])
def test_what_the_network_reads_and_answers_has_variance_one(sigma_data):
    c = preconditioning(SIGMAS, sigma_data)
    np.testing.assert_allclose(c.c_in**2 * (SIGMAS**2 + sigma_data**2), 1, rtol=1e-5)

    def variance(c_skip):
        """Of x - c_skip (x + σ ε), which F answers for."""
        return (1 - c_skip) ** 2 * sigma_data**2 + c_skip**2 * SIGMAS**2

    np.testing.assert_allclose(variance(c.c_skip) / c.c_out**2, 1, rtol=2e-3)
    for other in (0.99, 1.01):  # no other c_skip leaves F less to answer for
        assert np.all(variance(c.c_skip * other) >= variance(c.c_skip) * (1 - 1e-6))
    np.testing.assert_allclose(loss_weight(SIGMAS, sigma_data) * c.c_out**2, 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(4 * c.c_noise), SIGMAS, rtol=1e-5)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_the_schedule_keeps_its_ends_and_is_even_in_its_root(rho):
    levels = schedule(9, 0.02, 80.0, rho)
    assert levels[0] == np.float32(80) and levels[-1] == np.float32(0.02)
    assert np.all(np.diff(levels) < 0)
    gaps = np.diff(np.asarray(levels, np.float64) ** (1 / rho))
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-3)


def test_levels_are_log_normal_and_each_rows_own():
    key, row = jax.random.key(0), jnp.arange(20_000)
    levels = draw_sigmas(key, row, -0.8, 1.2)
    assert stats.kstest((np.log(levels) + 0.8) / 1.2, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(draw_sigmas(key, row[5:9], -0.8, 1.2), levels[5:9])


def test_the_bridge_is_bayes_rule():
    """From N(x_next; clean, σ_next²) and N(x; x_next, σ² - σ_next²): precisions add, means weigh by them."""
    x, clean, σ, σ_next = jnp.array([[0.3, -4.0]]), jnp.array([[-1.0, 0.5]]), 2.0, 0.7
    mean, deviation = bridge(x, clean, jnp.float32(σ), jnp.float32(σ_next))
    precisions = np.array([1 / σ_next**2, 1 / (σ**2 - σ_next**2)])
    np.testing.assert_allclose(deviation, precisions.sum() ** -0.5, rtol=1e-5)
    np.testing.assert_allclose(mean, (precisions[0] * clean + precisions[1] * x) / precisions.sum(), rtol=1e-5)


def test_the_bridge_keeps_the_marginal():
    σ, σ_next = jnp.float32(5.0), jnp.float32(0.4)
    unit, deviation = bridge(jnp.float32(1.0), jnp.float32(0.0), σ, σ_next)  # linear in x where clean is 0
    np.testing.assert_allclose(unit**2 * σ**2 + deviation**2, σ_next**2, rtol=1e-5)


def test_the_density_is_that_of_a_normal():
    draws = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    found = normal_log_prob(draws, jnp.float32(0.5), jnp.float32(0.03))
    np.testing.assert_allclose(found, stats.norm(0.5, 0.03).logpdf(draws).sum(axis=(1, 2)), rtol=1e-5)
