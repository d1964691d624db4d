"""Ancestral steps on Gaussian data, whose denoiser is known: moments, densities."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.families.diffusion.samplers import ancestral, ancestral_log_prob
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal

KEY = jax.random.key(3)
MEAN, DEVIATION, LARGEST, LAST = -0.4, 0.7, 20.0, 0.02


def exact(mean=MEAN):
    """D of data N(mean, DEVIATION²), every pixel on its own."""

    def denoise(x, σ):
        kept = (DEVIATION**2 / (DEVIATION**2 + σ**2))[:, None, None, None]
        return mean + kept * (x - mean)

    return denoise


def start(count, key=KEY):
    return LARGEST * normal(key, jnp.arange(count), (2, 2, 1))


def ancestral_moments(levels):
    """Mean and variance of the last state: every action is linear in the state before it."""
    mean, variance = 0.0, LARGEST**2
    levels = np.asarray(levels, np.float64)
    for σ, σ_next in zip(levels, [*levels[1:], 0.0], strict=True):
        kept, share = DEVIATION**2 / (DEVIATION**2 + σ**2), (σ_next / σ) ** 2
        slope = share + (1 - share) * kept
        noise = LAST**2 if σ_next == 0 else σ_next**2 * (1 - share)
        mean, variance = slope * mean + (1 - slope) * MEAN, slope**2 * variance + noise
    return mean, variance


@pytest.mark.parametrize("steps", [6, 14])
def test_ancestral_draws_have_the_moments_that_their_steps_give(steps):
    levels, count = schedule(steps, 0.03, LARGEST), 20_000
    states, _ = jax.jit(lambda x: ancestral(exact(), x, levels, LAST, KEY, jnp.arange(count)))(start(count))
    assert states.shape == (count, steps + 1, 2, 2, 1)
    mean, variance = ancestral_moments(levels)
    last = np.asarray(states[:, -1]).ravel()
    assert abs(last.mean() - mean) < 5 * np.sqrt(variance / last.size)
    assert abs(last.var() / variance - 1) < 5 * np.sqrt(2 / last.size)


def test_with_many_steps_the_ancestral_moments_are_those_of_the_data():
    mean, variance = ancestral_moments(schedule(1000, 0.03, LARGEST))
    np.testing.assert_allclose([mean, variance], [MEAN, DEVIATION**2 + LAST**2], rtol=0.02)


def test_the_density_is_that_of_the_chain_and_is_scored_alike():
    levels, denoise = schedule(5, 0.03, LARGEST), exact()
    states, log_prob = ancestral(denoise, start(6), levels, LAST, KEY, jnp.arange(6))
    scored = ancestral_log_prob(denoise, states, levels, LAST)
    assert log_prob.shape == (6, 5)
    np.testing.assert_allclose(scored, log_prob, rtol=1e-5)
    final = stats.norm(denoise(states[:, 4], jnp.full(6, levels[4])), LAST).logpdf(states[:, 5])
    np.testing.assert_allclose(log_prob[:, 4], final.sum(axis=(1, 2, 3)), rtol=1e-4)


def test_every_decisions_score_function_has_mean_zero():
    """E ∇ log p = 0 for each action, the last too: what makes a score-function gradient unbiased."""
    levels, count = schedule(5, 0.03, LARGEST), 4000
    states, _ = ancestral(exact(), start(count), levels, LAST, KEY, jnp.arange(count))

    def log_prob(mean, states):
        return ancestral_log_prob(exact(mean), states[None], levels, LAST)[0]

    gradients = np.asarray(jax.vmap(jax.jacfwd(log_prob), (None, 0))(MEAN, states))  # [count, T]
    errors = gradients.std(axis=0) / np.sqrt(count)
    assert np.all(gradients.std(axis=0) > 0) and np.all(np.abs(gradients.mean(axis=0)) < 4 * errors)


def test_rows_are_drawn_each_on_their_own():
    levels, row = schedule(4, 0.03, LARGEST), jnp.arange(8)
    whole = ancestral(exact(), start(8), levels, LAST, KEY, row)
    part = ancestral(exact(), start(8)[3:6], levels, LAST, KEY, row[3:6])
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[3:6], b, rtol=1e-5, atol=1e-5)


def test_the_gradient_keeps_no_more_of_many_actions_than_their_states():
    def deep(scale, x, σ):
        for _ in range(20):
            x = jnp.tanh(scale * x)
        return x

    def temporary(actions):
        levels, states = jnp.geomspace(1.0, 0.1, actions), jnp.ones((8, actions + 1, 16, 16, 1))
        score = jax.grad(lambda s: ancestral_log_prob(lambda x, σ: deep(s, x, σ), states, levels, LAST).sum())
        return jax.jit(score).lower(jnp.float32(0.9)).compile().memory_analysis().temp_size_in_bytes

    state = 8 * 16 * 16 * 4  # bytes; each action has 20 such activations, and its own state
    assert temporary(40) - temporary(20) < 20 * 8 * state
