"""Every sampler's table against its algorithm written out, and against Gaussians and mixtures with known answers."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.families.diffusion.samplers import churn, ddim, dpm_solver_2m, euler, follow, heun
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal

KEY, LARGEST = jax.random.key(3), 20.0
SHARES, MEANS, SPREAD = np.array([0.6, 0.3, 0.1]), np.array([-0.8, 0.1, 0.9]), 0.08  # a mixture's, of every pixel
SAMPLERS = {
    "euler": euler,
    "heun": heun,
    "dpm_solver_2m": dpm_solver_2m,
    "ddim": lambda sigmas: ddim(sigmas, 0.5),
    "ancestral": lambda sigmas: ddim(sigmas, 1.0),
    "churn": lambda sigmas: churn(sigmas, 8.0, 0.05, 15.0, 1.0),
}
FLOWS = ("euler", "heun", "dpm_solver_2m")


def gaussian(mean, deviation):
    """D of pixels N(mean, deviation²), every one on its own."""
    return lambda x, σ: mean + deviation**2 / (deviation**2 + σ**2) * (x - mean)


def mixture(x, σ):
    """D of pixels from the mixture: the posterior means of its parts, weighed by their posterior shares."""
    x, variance = x[..., None], SPREAD**2 + σ[..., None] ** 2
    log_shares = np.log(SHARES) - (x - MEANS) ** 2 / (2 * variance)
    shares = np.exp(log_shares - log_shares.max(axis=-1, keepdims=True))
    means = MEANS + SPREAD**2 / variance * (x - MEANS)
    return (shares * means).sum(axis=-1) / shares.sum(axis=-1)


def traced(x, σ):
    """`mixture` for JAX, [B, H, W, C] and [B]."""
    x, variance = x[..., None], SPREAD**2 + σ[:, None, None, None, None] ** 2
    shares = jax.nn.softmax(np.log(SHARES) - (x - MEANS) ** 2 / (2 * variance))
    return (shares * (MEANS + SPREAD**2 / variance * (x - MEANS))).sum(axis=-1)


def start(count, pixels=1):
    return LARGEST * normal(KEY, jnp.arange(count), (1, pixels, 1))


def sampled(name, denoise, x, sigmas, key=KEY):
    made = jax.jit(lambda x: follow(denoise, x, SAMPLERS[name](sigmas), key, jnp.arange(len(x))))(x)
    return np.asarray(made, np.float64)


def written_out(name, D, x, sigmas, noise):
    """The algorithms as their papers have them, in float64; `noise(n)` is what row n of a table draws."""
    σs, rows, last, h_last = [*map(float, sigmas), 0.0], itertools.count(), None, None
    for σ, σ_next in itertools.pairwise(σs):
        clean = None
        if name in ("heun", "churn"):
            drawn = noise(next(rows))
            if name == "churn" and 0.05 <= σ <= 15.0:
                raised = σ * (1 + min(8.0 / len(sigmas), np.sqrt(2) - 1))
                x, σ = x + np.sqrt(raised**2 - σ**2) * drawn, raised
            slope = (x - D(x, σ)) / σ
            guess = x + (σ_next - σ) * slope
            if σ_next > 0:
                next(rows)
                guess = x + (σ_next - σ) * (slope + (guess - D(guess, σ_next)) / σ_next) / 2
            x = guess
        elif name == "dpm_solver_2m":
            clean = D(x, σ)
            h = np.log(σ / σ_next) if σ_next > 0 else np.inf
            r = h_last / h if last is not None and σ_next > 0 else np.inf
            best = clean if r == np.inf else (1 + 1 / (2 * r)) * clean - last / (2 * r)
            x, last, h_last = np.exp(-h) * x - np.expm1(-h) * best, clean, h
        else:
            eta = {"euler": 0.0, "ddim": 0.5, "ancestral": 1.0}[name]
            deviation = eta * np.sqrt(σ_next**2 / σ**2 * (σ**2 - σ_next**2))
            clean = D(x, σ)
            x = clean + np.sqrt(σ_next**2 - deviation**2) * (x - clean) / σ
            number = next(rows) + 1  # a table draws it where the next row begins
            x = x + deviation * noise(number) if σ_next > 0 else x
    return x


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_table_is_its_algorithm(name):
    x, sigmas = start(40), schedule(7, 0.03, LARGEST)
    row = jnp.arange(40)
    drawn = [np.asarray(normal(jax.random.fold_in(KEY, number), row, (1, 1, 1)), np.float64) for number in range(13)]
    wanted = written_out(
        name, lambda x, σ: mixture(x, np.full_like(x, σ)), np.asarray(x, np.float64), sigmas, drawn.__getitem__
    )
    np.testing.assert_allclose(sampled(name, traced, x, sigmas), wanted, atol=2e-4)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpm_solver_2m", 2)])
def test_the_error_falls_with_the_steps_by_the_methods_order(name, order):
    """On a Gaussian, whose flow keeps each point's quantile; to the smallest σ, whence the step to 0 is D itself."""
    mean, deviation, low = -0.4, 0.7, 0.002
    x = start(50)
    exact = mean + deviation / np.sqrt(deviation**2 + LARGEST**2) * (np.asarray(x) - mean)
    D = gaussian(mean, deviation)

    def error(steps):
        return np.abs(sampled(name, lambda x, σ: D(x, σ[0]), x, schedule(steps, low, LARGEST)) - exact).max()

    errors = [error(steps) for steps in (16, 32, 64)]
    assert errors[0] < (0.6 if order == 1 else 0.1)
    for coarse, fine in itertools.pairwise(errors):
        assert 0.7 * 2**order < coarse / fine < 1.4 * 2**order, errors


@pytest.mark.parametrize("name", FLOWS)
def test_the_flow_takes_every_point_to_its_quantile_in_the_mixture(name):
    """In one dimension the flow cannot cross itself: F_0(x_0) = F_σ(x_σ)."""
    x = np.linspace(-45, 45, 61).reshape(-1, 1, 1, 1).astype(np.float32)
    made = sampled(name, traced, jnp.asarray(x), schedule(200, 0.002, LARGEST)).ravel()
    assert np.all(np.diff(made) > 0)
    wide = (SHARES * stats.norm.cdf(x.ravel()[:, None], MEANS, np.hypot(SPREAD, LARGEST))).sum(axis=1)
    own = (SHARES * stats.norm.cdf(made[:, None], MEANS, SPREAD)).sum(axis=1)
    np.testing.assert_allclose(own, wide, atol=0.02 if name == "euler" else 0.003)


def linear_moments(name, mean, deviation, sigmas):
    """Mean and variance of what a stochastic sampler makes of a Gaussian: `written_out` is linear in x and its noise.

    Each source of randomness is let in alone, with a unit of it: no source, the start, and each row's noise.
    """
    units = np.eye(2 + 2 * len(sigmas))
    made = written_out(name, gaussian(mean, deviation), LARGEST * units[1], sigmas, lambda number: units[2 + number])
    return made[0], ((made[1:] - made[0]) ** 2).sum()


@pytest.mark.parametrize("name", SAMPLERS)
def test_moments_on_a_gaussian_are_those_of_its_steps_and_with_many_steps_the_datas(name):
    mean, deviation, count = -0.4, 0.7, 3000
    D, sigmas = gaussian(mean, deviation), schedule(9, 0.03, LARGEST)
    made = sampled(name, lambda x, σ: D(x, σ[0]), start(count, 4), sigmas)
    wanted, variance = linear_moments(name, mean, deviation, sigmas)
    pixels = made.reshape(count, 4)
    assert abs(pixels.mean() - wanted) < 5 * np.sqrt(variance / pixels.size)
    covariance = np.cov(pixels.T)
    np.testing.assert_allclose(covariance, variance * np.eye(4), atol=6 * variance * np.sqrt(2 / count))
    wanted, variance = linear_moments(name, mean, deviation, schedule(300, 0.002, LARGEST))
    kept = deviation / np.hypot(deviation, LARGEST) if name in FLOWS else 0.0  # of a start with mean 0, not the data's
    np.testing.assert_allclose([wanted, variance], [mean * (1 - kept), deviation**2], rtol=0.035)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_modes_of_a_mixture_get_their_shares_and_their_width(name):
    count = 6000
    made = sampled(name, traced, start(count), schedule(60, 0.01, LARGEST)).ravel()
    nearest = np.abs(made[:, None] - MEANS).argmin(axis=1)
    for mode, share in enumerate(SHARES):
        own = made[nearest == mode]
        assert abs(len(own) / count - share) < 5 * np.sqrt(share * (1 - share) / count) + 0.01
        assert abs(own.mean() - MEANS[mode]) < 5 * SPREAD / np.sqrt(len(own)) + 0.01
        assert 0.85 * SPREAD < own.std() < 1.15 * SPREAD


def test_without_noise_the_stochastic_samplers_are_the_flows():
    sigmas = schedule(6, 0.03, LARGEST)
    for stochastic, flow in ((ddim(sigmas, 0.0), euler(sigmas)), (churn(sigmas, 0.0, 0.0, 99.0, 1.0), heun(sigmas))):
        np.testing.assert_array_equal(stochastic.noise, 0)
        for one, other in zip(stochastic[:-1], flow[:-1], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_rows_are_drawn_each_on_their_own():
    x, row, table = start(8), jnp.arange(8), ddim(schedule(4, 0.03, LARGEST), 1.0)
    draw = jax.jit(lambda x, row: follow(traced, x, table, KEY, row))
    np.testing.assert_allclose(draw(x, row)[3:6], draw(x[3:6], row[3:6]), atol=1e-5)
