"""The game's mathematics against closed forms."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.families.gan.adversarial import (
    Loss,
    Penalty,
    dequantised,
    discriminator_nats,
    generator_nats,
    judged,
    penalised,
    rounded,
)
from jaxgen.ops.levels import to_levels, to_unit

REAL, FAKE = jnp.array([2.0, 0.0, -1.0]), jnp.array([-1.0, 0.0, 3.0])
output = st.floats(-20, 20, width=32)


def test_relativistic_losses_are_log_probabilities_of_telling_the_pair_apart():
    right = 1 / (1 + np.exp(-np.array([3.0, 0.0, -4.0])))  # sigmoid of real - fake
    np.testing.assert_allclose(discriminator_nats(Loss.RELATIVISTIC, REAL, FAKE), -np.log(right), rtol=1e-5)
    np.testing.assert_allclose(generator_nats(Loss.RELATIVISTIC, REAL, FAKE), -np.log(1 - right), rtol=1e-5)


def test_non_saturating_losses_are_log_probabilities_of_each_picture():
    real, fake = (1 / (1 + np.exp(-np.asarray(outputs, np.float64))) for outputs in (REAL, FAKE))
    expected = -np.log(real) - np.log(1 - fake)
    np.testing.assert_allclose(discriminator_nats(Loss.NON_SATURATING, REAL, FAKE), expected, rtol=1e-5)
    np.testing.assert_allclose(generator_nats(Loss.NON_SATURATING, REAL, FAKE), -np.log(fake), rtol=1e-5)


def test_hinge_and_wasserstein_losses_are_piecewise_linear():
    np.testing.assert_allclose(discriminator_nats(Loss.HINGE, REAL, FAKE), [0 + 0, 1 + 1, 2 + 4])
    np.testing.assert_allclose(discriminator_nats(Loss.WASSERSTEIN, REAL, FAKE), [-3, 0, 4])
    for loss in (Loss.HINGE, Loss.WASSERSTEIN):
        np.testing.assert_allclose(generator_nats(loss, REAL, FAKE), -FAKE)


@pytest.mark.parametrize(
    ("loss", "least"), [(Loss.RELATIVISTIC, np.log(2)), (Loss.NON_SATURATING, 2 * np.log(2)), (Loss.HINGE, 2)]
)
def test_where_fakes_are_distributed_as_reals_the_best_judge_pays_what_theory_says(loss, least):
    """At the game's optimum D is constant: log 2 a pair, 2 log 2, and 2; any other outputs cost it more."""
    outputs = jnp.linspace(-2.0, 2.0, 41)
    pairs = jnp.meshgrid(outputs, outputs)  # each output on a real as often with each on a fake
    np.testing.assert_allclose(discriminator_nats(loss, jnp.float32(0), jnp.float32(0)), least, rtol=1e-6)
    assert discriminator_nats(loss, *pairs).mean() > least
    constant = jax.vmap(lambda x: discriminator_nats(loss, x, x))(outputs)
    assert constant.min() >= least - 1e-6


@given(output, output, st.floats(-5, 5, width=32))
def test_a_relativistic_player_knows_differences_alone(real, fake, shift):
    for nats in (discriminator_nats, generator_nats):
        moved = nats(Loss.RELATIVISTIC, jnp.float32(real + shift), jnp.float32(fake + shift))
        np.testing.assert_allclose(moved, nats(Loss.RELATIVISTIC, real, fake), rtol=1e-4, atol=1e-4)


@given(output, output)
def test_the_relativistic_game_is_symmetric(real, fake):
    """D pays for a pair what G would pay for it with the roles exchanged."""
    d = discriminator_nats(Loss.RELATIVISTIC, jnp.float32(real), jnp.float32(fake))
    assert d == generator_nats(Loss.RELATIVISTIC, jnp.float32(fake), jnp.float32(real))


def test_the_penalty_of_a_linear_judge_is_the_squared_norm_of_its_weights():
    weights = jnp.arange(12.0).reshape(2, 3, 2)
    pictures = jax.random.normal(jax.random.key(0), (5, 2, 3, 2))
    outputs, penalty = penalised(lambda x: jnp.einsum("bhwc,hwc->b", x, weights) + 7, pictures)
    np.testing.assert_array_equal(penalty, np.full(5, (np.arange(12.0) ** 2).sum()))
    np.testing.assert_allclose(outputs, jnp.einsum("bhwc,hwc->b", pictures, weights) + 7)


def test_the_penalty_differentiates_in_the_judges_weights():
    """d |w|^2 / dw = 2 w: the double backward pass that training needs."""
    weights = jnp.array([1.0, -2.0, 3.0]).reshape(1, 3, 1)
    pictures = jnp.ones((4, 1, 3, 1))

    def penalty(w):
        return penalised(lambda x: jnp.einsum("bhwc,hwc->b", x, w), pictures)[1].mean()

    np.testing.assert_allclose(jax.grad(penalty)(weights), 2 * weights)


def test_a_judge_of_slope_one_pays_nothing_between_pictures_and_others_their_squared_excess():
    """arXiv 1704.00028, eq. 3: the optimum's slope is 1 almost everywhere, a linear judge's that of its weights."""
    direction = jnp.array([3.0, 4.0]).reshape(1, 2, 1) / 5
    real, fake = jax.random.normal(jax.random.key(0), (2, 6, 1, 2, 1))
    for slope, penalty in ((1.0, 0.0), (0.0, 1.0), (2.5, 2.25)):
        judge = lambda x, slope=slope: slope * jnp.einsum("bhwc,hwc->b", x, direction)  # noqa: E731
        a, b, paid = judged(Penalty.INTERPOLATES, judge, real, fake, jax.random.key(1), jnp.arange(6))
        np.testing.assert_allclose(paid["interpolates"], np.full(6, penalty), atol=1e-5)
        np.testing.assert_allclose(a - b, judge(real - fake), atol=1e-5)


def test_penalties_between_pictures_are_taken_on_the_line_between_a_real_and_its_fake():
    """Of x^2 / 2 the slope is the place itself, so that the penalty tells where it was taken: evenly, row by row."""
    real, fake, row = jnp.full((4000, 1, 1, 1), 3.0), jnp.full((4000, 1, 1, 1), 1.0), jnp.arange(4000)
    judge = lambda x: (x**2).sum(axis=(1, 2, 3)) / 2  # noqa: E731
    _, _, paid = judged(Penalty.INTERPOLATES, judge, real, fake, jax.random.key(1), row)
    place = (np.sqrt(paid["interpolates"]) + 1 - 1) / 2  # share of the real
    assert place.min() >= 0 and place.max() <= 1 and abs(place.mean() - 0.5) < 0.02
    _, _, half = judged(Penalty.INTERPOLATES, judge, real[:9], fake[:9], jax.random.key(1), row[:9])
    np.testing.assert_allclose(half["interpolates"], paid["interpolates"][:9], rtol=1e-6)


def test_a_penalty_on_one_side_alone_is_that_sides_of_both():
    real, fake = jax.random.normal(jax.random.key(0), (2, 5, 4, 4, 1))

    def at(penalty):
        return judged(penalty, lambda x: (x**3).sum(axis=(1, 2, 3)), real, fake, jax.random.key(1), jnp.arange(5))

    *outputs, both = at(Penalty.REAL_AND_FAKE)
    for penalty, name, pictures in ((Penalty.REAL, "r1", real), (Penalty.FAKE, "r2", fake)):
        *same, paid = at(penalty)
        np.testing.assert_allclose(same, outputs, rtol=1e-6)
        assert list(paid) == [name]
        np.testing.assert_allclose(paid[name], ((3 * pictures**2) ** 2).sum(axis=(1, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(paid[name], both[name], rtol=1e-6)


def test_each_picture_is_penalised_for_its_own_gradient():
    pictures = jnp.arange(1.0, 4.0).reshape(3, 1, 1, 1)
    _, penalty = penalised(lambda x: (x**2).sum(axis=(1, 2, 3)), pictures)
    np.testing.assert_allclose(penalty, [4.0, 16.0, 36.0])


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_rounding_keeps_levels_and_a_clips_gradient(levels):
    every = to_unit(jnp.arange(levels), levels).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(rounded(every, levels), every, atol=1e-6)
    half = 1 / (levels - 1)
    inside = rounded(every + 0.9 * half, levels)
    np.testing.assert_array_equal(to_levels(inside, levels).ravel(), np.arange(levels))
    slope = jax.vmap(jax.grad(lambda x: rounded(x[None, None, None, None], levels).sum()))
    places = jnp.array([-1 - 2 * half, -1.0, 0.3 * half, 1.0, 1 + 2 * half])
    np.testing.assert_array_equal(slope(places), [0, 1, 1, 1, 0])


def test_noise_is_one_level_wide_and_does_not_leave_the_level():
    levels, row = 17, jnp.arange(64)
    pictures = to_unit(jax.random.randint(jax.random.key(1), (64, 4, 4, 1), 0, levels), levels)
    noisy = dequantised(pictures, levels, jax.random.key(2), row)
    np.testing.assert_array_equal(to_levels(noisy, levels), to_levels(pictures, levels))
    noise = np.asarray((noisy - pictures) * (levels - 1) / 2)
    assert noise.min() >= -0.5 - 1e-5 and noise.max() <= 0.5 + 1e-5
    np.testing.assert_allclose(noise.var(), 1 / 12, rtol=0.1)
