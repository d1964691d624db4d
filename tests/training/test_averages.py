"""An average's half-life is what it says."""
# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.training.averages import EMA


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


def test_what_stands_still_is_not_changed_in_a_single_bit():
    values = jnp.asarray(np.random.default_rng(0).normal(size=10_000), jnp.float32)
    assert np.array_equal(EMA(1000.0).update(values, values, jnp.int32(3), 64), values)


@pytest.mark.parametrize("settings", [{"half_life": 0}, {"half_life": 10, "ramp": 0}])
def test_a_half_life_of_nothing_is_refused(settings):
    with pytest.raises(UserError, match="must be above 0"):
        EMA(**settings)
