"""D's probability against the posterior of two known distributions."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.families.gan.calibration import OutputSums

REAL, FAKE, DEVIATION = 3.0, 1.5, 1.2  # means on reals and fakes, and the spread of both


def learned() -> OutputSums:
    sums = OutputSums.at_first()
    for key in jax.random.split(jax.random.key(0), 40):
        noise = DEVIATION * jax.random.normal(key, (2, 1000))
        sums = sums.absorb(OutputSums.of(REAL + noise[0], FAKE + noise[1], jnp.ones(1000)))
    return sums


def test_probability_is_the_posterior_of_two_normal_distributions():
    outputs = jnp.linspace(-1.0, 6.0, 20)
    logit = ((outputs - FAKE) ** 2 - (outputs - REAL) ** 2) / (2 * DEVIATION**2)
    np.testing.assert_allclose(learned().probability(outputs), jax.nn.sigmoid(logit), atol=0.02)


def test_what_is_called_p_is_real_in_a_share_p_of_cases():
    noise = DEVIATION * jax.random.normal(jax.random.key(9), (2, 100_000))
    probability = np.asarray(learned().probability(jnp.concatenate([REAL + noise[0], FAKE + noise[1]])))
    real = np.repeat([1.0, 0.0], 100_000)
    for low in np.arange(0.1, 0.9, 0.1):
        chosen = (probability >= low) & (probability < low + 0.1)
        assert abs(real[chosen].mean() - probability[chosen].mean()) < 0.02


def test_a_constant_added_to_all_outputs_changes_no_probability():
    real, fake, weight = jnp.array([1.0, 2.0, 4.0]), jnp.array([0.0, 1.5, -1.0]), jnp.ones(3)
    outputs = jnp.array([-2.0, 0.3, 5.0])
    moved = OutputSums.of(real + 10, fake + 10, weight).probability(outputs + 10)
    np.testing.assert_allclose(moved, OutputSums.of(real, fake, weight).probability(outputs), rtol=1e-3)


def test_examples_of_weight_zero_leave_no_trace():
    whole = OutputSums.of(jnp.array([1.0, 99.0]), jnp.array([2.0, -99.0]), jnp.array([1.0, 0.0]))
    np.testing.assert_array_equal(
        jax.tree.leaves(whole), jax.tree.leaves(OutputSums.of(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1)))
    )


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4))
def test_probability_stays_inside_zero_and_one(outputs):
    outputs = jnp.array(outputs)
    sums = OutputSums.of(outputs[:2], outputs[2:], jnp.ones(2))
    probability = OutputSums.at_first().absorb(sums).probability(outputs)
    assert bool(jnp.all((probability > 0) & (probability < 1)))


def test_before_the_first_batch_all_is_possible():
    np.testing.assert_array_equal(OutputSums.at_first().probability(jnp.array([-3.0, 0.0, 8.0])), 0.5)
