"""The leave-one-out baseline: what it is by its words, and what follows."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.ops.advantages import leave_one_out


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 2**32))
def test_each_return_stands_against_the_mean_of_the_others_in_its_group(group, groups, seed):
    returns = np.random.default_rng(seed).normal(size=group * groups).astype(np.float32)
    advantage = np.asarray(leave_one_out(returns, group))
    for row in range(group * groups):
        first = row // group * group
        others = [returns[other] for other in range(first, first + group) if other != row]
        np.testing.assert_allclose(advantage[row], returns[row] - np.mean(others), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(advantage.reshape(-1, group).sum(axis=1), 0, atol=1e-4)


@pytest.mark.parametrize("group", [0, 1, 4])
def test_groups_of_one_or_that_do_not_come_out_even_are_refused(group):
    with pytest.raises(ValueError, match="groups"):
        leave_one_out(np.zeros(6), group)
