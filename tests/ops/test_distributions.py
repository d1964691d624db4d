"""Distributions of levels sum to one and are drawn as they say; normal distributions agree with SciPy's."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_expit, logsumexp
from scipy.stats import chi2, norm

from jaxgen.ops.distributions import (
    Bernoulli,
    Categorical,
    LogisticMixture,
    kl_to_standard_normal,
    normal_entropy,
    normal_log_density,
    reparameterised,
)

KEY = jax.random.key(2)
LOGITS = [0.3, -1.0, 0.5]
MEANS = [2.0, 8.4, 20.0]
LOG_SCALES = [-0.5, 0.7, 1.0]


def mixture(*leading):
    return LogisticMixture(*(jnp.broadcast_to(jnp.array(x), (*leading, 3)) for x in (LOGITS, MEANS, LOG_SCALES)))


@functools.partial(jax.jit, static_argnums=1)
def log_probs(one: LogisticMixture, levels: int) -> jax.Array:
    return jax.vmap(lambda level: one.log_prob(level, levels))(jnp.arange(levels))


def every_level(one: LogisticMixture, levels: int) -> np.ndarray:
    """[levels] nats of a mixture with arrays [K]."""
    return np.asarray(log_probs(one, levels))


def components(low, high):
    return st.lists(st.floats(low, high, width=32), min_size=2, max_size=2)


@settings(max_examples=150)
@given(
    levels=st.sampled_from([2, 17, 256]),
    logits=components(-100, 100),
    means=components(-1e6, 1e6) | components(-10, 270),
    log_scales=components(-100, 100) | components(-7, 7),
)
def test_the_levels_probabilities_are_finite_and_sum_to_one(levels, logits, means, log_scales):
    one = LogisticMixture(*(jnp.array(x, jnp.float32) for x in (logits, means, log_scales)))
    nats = every_level(one, levels)
    assert np.isfinite(nats).all()
    assert abs(np.exp(nats).sum() - 1) < 1e-4


@pytest.mark.parametrize("log_scale", [-7.0, -2.0, 0.0, 3.0, 8.0])
@pytest.mark.parametrize("mean", [-30.0, 0.2, 7.5, 16.0, 400.0])
def test_the_log_probability_is_that_of_double_precision_even_far_in_the_tails(mean, log_scale):
    one = LogisticMixture(jnp.zeros(1), jnp.array([mean]), jnp.array([log_scale]))
    edges = (np.arange(1, 17) - 0.5 - mean) / np.exp(log_scale)
    # the log of a difference of sigmoids, taken on the side where both are small
    low, high = log_expit(-np.abs(edges[:-1])), log_expit(-np.abs(edges[1:]))
    same_side = np.maximum(low, high) + np.log1p(-np.exp(-np.abs(high - low)))
    across = np.log(np.maximum(expit(edges[1:]) - expit(edges[:-1]), 1e-300))
    inner = np.where(edges[:-1] * edges[1:] > 0, same_side, across)
    exact = np.concatenate([[log_expit(edges[0])], inner, [log_expit(-edges[-1])]])
    np.testing.assert_allclose(every_level(one, 17), exact, rtol=1e-4, atol=1e-4)


def test_the_gradient_is_finite_for_extreme_parameters():
    extreme = jnp.array([-1e4, -1.0, 8.0, 1e4])
    gradient = jax.jit(jax.vmap(jax.grad(lambda m, level: m.log_prob(level, 17)), (None, 0)))
    for log_scale in (-50.0, -7.0, 0.0, 30.0):
        one = LogisticMixture(jnp.zeros(4), extreme, jnp.full(4, log_scale))
        assert all(np.isfinite(leaf).all() for leaf in gradient(one, jnp.arange(17)))


def test_the_mean_level_is_the_sum_over_levels():
    one = mixture()
    exact = np.exp(every_level(one, 17)) @ np.arange(17)
    np.testing.assert_allclose(one.levels_mean(17), exact, rtol=1e-5)


def test_draws_fall_on_the_levels_as_often_as_the_likelihood_says():
    drawn = np.asarray(jax.jit(lambda: mixture(40_000).draw(KEY, 17))())
    counts = np.bincount(drawn.astype(int), minlength=17)
    expected = np.exp(every_level(mixture(), 17)) * 40_000
    assert np.array_equal(drawn, np.round(drawn)) and len(counts) == 17
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, 16)


def test_a_draws_gradient_is_that_before_rounding():
    """The mean's is 1 and the scale's the noise wherever a draw lies inside the levels; outside both are 0."""

    def total(mean, log_scale):
        return LogisticMixture(jnp.zeros((500, 1)), mean, log_scale).draw(KEY, 17).sum()

    mean, log_scale = jnp.full((500, 1), 14.0), jnp.zeros((500, 1))
    by_mean, by_scale = jax.grad(total, (0, 1))(mean, log_scale)
    drawn = LogisticMixture(jnp.zeros((500, 1)), mean, log_scale).draw(KEY, 17)
    inside = np.asarray(drawn < 16)
    np.testing.assert_array_equal(by_mean[inside, 0], 1.0)
    assert 0 < np.asarray(by_mean).mean() < 1 and bool(jnp.isfinite(by_scale).all())
    np.testing.assert_allclose(by_scale[inside, 0], (drawn - 14.0)[inside], atol=0.501)


def test_normal_figures_are_scipys():
    x, mean, log_std = jax.random.normal(KEY, (3, 5, 4))
    exact = norm(mean, np.exp(log_std))
    np.testing.assert_allclose(normal_log_density(x, mean, log_std), exact.logpdf(x).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(normal_entropy(log_std), exact.entropy().sum(-1), rtol=1e-4)


def test_the_closed_divergence_is_the_mean_log_ratio_of_draws():
    mean, log_std = jnp.array([0.5, -1.0, 0.0]), jnp.array([-1.0, 0.3, 0.0])
    z = reparameterised(jax.random.normal(KEY, (100_000, 3)), mean, log_std)
    zero = jnp.zeros(3)
    ratio = np.asarray(normal_log_density(z, mean, log_std) - normal_log_density(z, zero, zero))
    assert abs(ratio.mean() - kl_to_standard_normal(mean, log_std)) < 4 * ratio.std() / np.sqrt(len(ratio))
    assert kl_to_standard_normal(zero, zero) == 0


def test_a_far_level_keeps_the_mixtures_log_probability():
    """No component near: the best one's tail counts, not an underflow."""
    one = LogisticMixture(jnp.array([0.0, 0.0]), jnp.array([-300.0, -400.0]), jnp.zeros(2))
    tails = [-308.0 + 0.5, -408.0 + 0.5]  # log sigmoid of the lower edge, times 1 - 1/e
    exact = logsumexp(tails) - np.log(2) + np.log1p(-np.exp(-1.0))
    np.testing.assert_allclose(one.log_prob(jnp.array(8), 17), exact, rtol=1e-6)


FEW = [
    (Bernoulli(jnp.array([-30.0, -1.0, 0.0, 2.0, 200.0])), 2),
    (Categorical(jnp.array([[0.5, -2, 0], [9, -9, 40]])), 3),
]


@pytest.mark.parametrize(("one", "levels"), FEW)
def test_levels_with_probabilities_of_their_own_sum_to_one_and_know_their_mean(one, levels):
    shape = one.levels_mean(levels).shape
    nats = np.array([one.log_prob(jnp.full(shape, level, jnp.uint8), levels) for level in range(levels)], np.float64)
    assert np.isfinite(nats).all()
    np.testing.assert_allclose(np.exp(nats).sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(one.levels_mean(levels), np.arange(levels) @ np.exp(nats), rtol=1e-5)


@pytest.mark.parametrize(("one", "levels"), FEW)
def test_they_are_drawn_as_often_as_they_say_and_the_draw_has_a_gradient(one, levels):
    logits = jnp.broadcast_to(one.logits, (20_000, *one.logits.shape))
    drawn, back = jax.vjp(lambda logits: type(one)(logits).draw(KEY, levels), logits)
    (gradient,) = back(jnp.ones_like(drawn))
    np.testing.assert_array_equal(drawn, np.round(drawn))
    for level in range(levels):
        expected = np.exp(one.log_prob(jnp.full(drawn.shape[1:], level, jnp.uint8), levels))
        error = 4.5 * np.sqrt(expected * (1 - expected) / 20_000) + 1e-9
        assert np.all(np.abs((np.asarray(drawn) == level).mean(axis=0) - expected) <= error)
    assert bool(jnp.isfinite(gradient).all()) and float(jnp.abs(gradient).max()) > 0.1
