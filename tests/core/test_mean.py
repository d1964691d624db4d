"""Means of means are exact."""
# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.core.mean import Mean

# one length: every other would compile anew
numbers = st.lists(st.tuples(st.floats(-100, 100, width=32), st.integers(0, 3)), min_size=8, max_size=8)


@given(numbers, numbers)
def test_the_mean_of_two_ragged_sets_is_the_mean_of_their_union(first, second):
    def mean(pairs):
        return Mean.of(jnp.array([value for value, _ in pairs]), jnp.array([weight for _, weight in pairs]))

    joined, whole = mean(first) + mean(second), mean(first + second)
    assert float(joined.total) == pytest.approx(float(whole.total), rel=1e-5, abs=1e-3)
    assert float(joined.weight) == float(whole.weight)


def test_a_row_of_no_weight_may_hold_anything():
    mean = Mean.of(jnp.array([1.0, jnp.nan, jnp.inf]), jnp.array([2.0, 0.0, 0.0]))
    assert float(mean.value) == 1.0


def test_nothing_weighed_is_told_as_nan():
    assert np.isnan(float(Mean.of(jnp.ones(2), jnp.zeros(2)).value))
