"""Restoration solvers on Gaussian priors, whose posterior is known: exact where theory says so, biased elsewhere."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import restoration_oracle as oracle

from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.blur import blur, gaussian_kernel
from jaxgen.families.diffusion.restoration.guided import conjugate_gradients, dps, pigdm, tweedie
from jaxgen.families.diffusion.restoration.jpeg import Jpeg
from jaxgen.families.diffusion.restoration.operators import Mask, chain, pseudo_inverse
from jaxgen.families.diffusion.restoration.projected import ddnm, ddrm, diffpir, repaint
from jaxgen.families.diffusion.restoration.steps import Measured, Start, time_travel, walk
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal

PROBLEMS = {problem.name: problem for problem in oracle.PROBLEMS}
DRAWS = 500
SIGMAS = schedule(200, 0.01, 20.0)


def found(prior, problem, solver, sigmas=SIGMAS, draws=DRAWS):
    """The three errors of a solver, and those of as many draws from the posterior itself."""
    truth = prior.posterior(problem.operator, problem.measured(prior), problem.sigma_y)
    ours = oracle.errors(oracle.restored(prior, problem, solver, sigmas, draws), truth)
    return np.array(ours), np.array(oracle.errors(truth.draw(draws, 7), truth))


def assert_exact(ours, chance):
    """The mean within four standard errors; a covariance off by no more than chance and 6 % of the discrete steps."""
    assert ours[0] < 4 / np.sqrt(DRAWS)
    assert ours[1] < chance[1] + 0.06
    assert abs(ours[2] - 1) < 0.08


@pytest.mark.parametrize("name", ["old photo", "inpaint"])
def test_pigdm_with_the_denoisers_own_covariance_is_exact_on_a_gaussian(name):
    assert_exact(*found(oracle.smooth_prior(), PROBLEMS[name], functools.partial(tweedie, iterations=12)))


def test_tweedies_covariance_needs_no_singular_vectors():
    """A mask before a blur has A and its adjoint alone."""
    parts = PROBLEMS["inpaint"].operator, PROBLEMS["blurred"].operator
    truth_of = oracle.Problem("hidden, then blurred", chain(*parts), 0.2)
    prior = oracle.smooth_prior()
    y = np.asarray(truth_of.operator.forward(jnp.asarray(prior.draw(1, 5), jnp.float32)), np.float64)
    truth = prior.posterior(truth_of.operator, y, 0.2)
    tiled = jnp.broadcast_to(jnp.asarray(y, jnp.float32), (DRAWS, *oracle.SHAPE))
    row = jnp.arange(DRAWS)
    x = SIGMAS[0] * normal(jax.random.key(1), row, oracle.SHAPE)
    measured = Measured(prior.denoise, truth_of.operator, tiled, 0.2)
    run = jax.jit(lambda x: tweedie(measured, Start(x, SIGMAS, oracle.KEY, row)))
    chance = oracle.errors(truth.draw(DRAWS, 7), truth)
    assert_exact(oracle.errors(np.asarray(run(x)), truth), chance)


def test_pigdm_is_exact_where_all_pixels_are_independent():
    solver = functools.partial(pigdm, sigma_data=float(np.sqrt(0.3)))
    assert_exact(*found(oracle.white_prior(0.3), PROBLEMS["blurred"], solver))


@pytest.mark.parametrize("solver", [ddnm, repaint])
def test_what_the_range_tells_nothing_of_is_drawn_exactly_without_noise(solver):
    """Independent pixels: the posterior of hidden ones is their prior."""
    problem = PROBLEMS["inpaint, no noise"]
    ours, chance = found(oracle.white_prior(), problem, solver)
    assert_exact(ours, chance)


def test_denoising_by_repaint_is_the_sampler_started_at_the_noisy_picture():
    problem = oracle.Problem("denoise", Mask(jnp.ones((4, 4, 1))), 0.3)
    assert_exact(*found(oracle.smooth_prior(), problem, repaint))


@pytest.mark.parametrize(
    ("solver", "name"), [(ddrm, "small, no noise"), (ddnm, "old photo"), (diffpir, "inpaint, no noise")]
)
def test_a_restoration_without_noise_agrees_with_what_was_measured(solver, name):
    problem = oracle.Problem(name, PROBLEMS[name].operator, 0.0)
    prior = oracle.smooth_prior()
    y = problem.measured(prior)
    restored = oracle.restored(prior, problem, solver, schedule(12, 0.01, 20.0), 4)
    seen = pseudo_inverse(problem.operator, problem.operator.forward(jnp.asarray(restored, jnp.float32)))
    wanted = pseudo_inverse(problem.operator, jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(seen, np.broadcast_to(wanted, seen.shape), atol=1e-4)


# Of the means' distance and of the total variance, 100 steps, as `benchmarks/restoration_oracle.py` measures them.
BIASED = [
    (ddrm, "inpaint", 0.5, (0.3, 1.0)),
    (diffpir, "inpaint", 0.2, (0.4, 0.65)),
    (pigdm, "inpaint", 0.5, (0.6, 1.5)),
    (dps, "inpaint", 0.8, (0.2, 2.0)),
]


@pytest.mark.parametrize(("solver", "name", "distance", "variance"), BIASED)
def test_the_other_solvers_come_near_and_their_bias_is_what_the_table_says(solver, name, distance, variance):
    ours, _ = found(oracle.smooth_prior(), PROBLEMS[name], solver, schedule(100, 0.01, 20.0))
    assert ours[0] < distance and variance[0] < ours[2] < variance[1]


def test_visits_bring_repaint_nearer_to_the_posterior():
    prior, problem = oracle.smooth_prior(), PROBLEMS["inpaint, no noise"]
    plain = np.asarray(schedule(40, 0.01, 20.0))
    once, _ = found(prior, problem, repaint, jnp.asarray(plain))
    often, _ = found(prior, problem, repaint, jnp.asarray(time_travel(plain, 2, 6)))
    assert often[0] < 0.6 * once[0]


def test_what_a_solver_needs_and_the_degradation_lacks_is_told():
    """A mask after a blur: its singular vectors are not known. `test_tweedies_covariance_needs_no_singular_vectors`."""
    known = jnp.asarray(oracle.KNOWN)
    torn = chain(blur(gaussian_kernel(0.8)), Mask(known))
    x = jnp.zeros((1, *oracle.SHAPE))
    start = Start(x, schedule(2, 0.1, 20.0), oracle.KEY, jnp.arange(1))
    measured = Measured(oracle.smooth_prior().denoise, torn, torn.forward(x), 0.1)
    for solver in (ddrm, ddnm, diffpir, pigdm):
        with pytest.raises(UserError, match=r"Mask after MirrorBlur has no singular vectors .*`tweedie`"):
            solver(measured, start)
    with pytest.raises(UserError, match="RePaint restores what a Mask hides, and nothing after a Chain"):
        repaint(measured, start)


def test_rows_are_restored_each_on_their_own():
    problem, prior = PROBLEMS["old photo"], oracle.smooth_prior()
    sigmas, row = schedule(6, 0.05, 20.0), jnp.arange(6)
    y = jnp.asarray(np.broadcast_to(problem.measured(prior), (6, 2, 2, 1)), jnp.float32)
    y = y + 0.1 * row[:, None, None, None]
    x = 20.0 * normal(jax.random.key(2), row, oracle.SHAPE)
    order = jnp.asarray([3, 0, 5, 1, 4, 2])
    for solver in (ddrm, ddnm, diffpir, dps, pigdm, tweedie):

        @jax.jit
        def run(y, x, row, solver=solver):
            return solver(Measured(prior.denoise, problem.operator, y, 0.05), Start(x, sigmas, oracle.KEY, row))

        whole, mixed = run(y, x, row), run(y[order], x[order], row[order])
        np.testing.assert_allclose(whole[order], mixed, atol=2e-4)


def test_conjugate_gradients_solve_each_row_by_itself():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 6, 6))
    matrices = jnp.asarray(root @ root.transpose(0, 2, 1) + np.eye(6), jnp.float32)
    b = jnp.asarray(rng.standard_normal((3, 6)), jnp.float32).at[1].set(0)
    solved = jax.jit(lambda b: conjugate_gradients(lambda v: jnp.einsum("bij,bj->bi", matrices, v), b, 15))(b)
    wanted = np.linalg.solve(np.asarray(matrices, np.float64), np.asarray(b, np.float64)[..., None])[..., 0]
    np.testing.assert_allclose(solved, wanted, atol=1e-3)


def test_time_travel_walks_each_stretch_its_visits():
    np.testing.assert_array_equal(time_travel(np.array([5, 4, 3, 2, 1.0]), 2, 1), [5, 4, 3, 2, 1])
    np.testing.assert_array_equal(
        time_travel(np.array([5, 4, 3, 2, 1.0]), 2, 2), [5, 4, 3, 5, 4, 3, 2, 1, 3, 2, 1]
    )
    with pytest.raises(UserError, match="1 or more"):
        time_travel(np.array([2, 1.0]), 0, 1)


def test_a_walk_up_adds_the_noise_that_is_between_the_levels():
    row = jnp.arange(4000)
    sigmas = jnp.asarray([0.5, 0.1, 0.7])

    def step(x, σ, σ_next, key):
        return x * jnp.where(σ_next == 0, 1, σ_next / σ)

    x = 0.5 * normal(jax.random.key(4), row, (1, 1, 1))
    ended = walk(step, Start(x, sigmas, oracle.KEY, row))
    assert abs(float(ended.var()) / 0.7**2 - 1) < 5 * np.sqrt(2 / 4000)


def test_dps_follows_a_degradation_that_is_not_linear():
    """JPEG at a low quality: the restoration compresses to what was seen, which a picture of the prior does not."""
    prior, operator = oracle.Gaussian(np.zeros(64), 0.1 * np.ones((64, 64)) + 0.02 * np.eye(64)), Jpeg(20)
    clean = jnp.asarray(prior.draw(8, 1).reshape(8, 8, 8, 1), jnp.float32)
    y, row = operator.forward(clean), jnp.arange(8)
    x = 20.0 * normal(jax.random.key(2), row, (8, 8, 1))
    start = Start(x, schedule(100, 0.01, 20.0), oracle.KEY, row)
    restored = jax.jit(lambda start: dps(Measured(prior.denoise, operator, y, 0.0), start))(start)
    misfit = jnp.abs(operator.forward(restored) - y).mean()
    assert float(misfit) < 0.35 * float(jnp.abs(y - jnp.roll(y, 1, 0)).mean())
