"""Truths of the kernel distance: the plain double sum, no bias, and what it does not see."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.metrics.kernel_distance import kernel_distance


def kernel(a, b):
    return (np.dot(a, b) / len(a) + 1) ** 3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 7), st.integers(2, 7))
def test_it_is_the_double_sum_over_different_pairs(seed, n, m):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(n, 3)), generator.normal(size=(m, 3))
    within = [np.mean([kernel(a, b) for a, b in itertools.permutations(vectors, 2)]) for vectors in (x, y)]
    between = np.mean([kernel(a, b) for a, b in itertools.product(x, y)])
    np.testing.assert_allclose(kernel_distance(x, y), sum(within) - 2 * between, rtol=1e-9, atol=1e-9)


def test_its_mean_over_draws_of_one_distribution_is_0_whatever_their_sizes():
    generator = np.random.default_rng(0)
    draws = [kernel_distance(generator.normal(size=(9, 4)), generator.normal(size=(14, 4))) for _ in range(2000)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(len(draws))
    assert min(draws) < 0


def test_it_is_the_difference_of_the_means_where_they_are_all_that_differs():
    """Of single points repeated: k(a, a) + k(b, b) - 2 k(a, b)."""
    a, b = np.full((5, 2), 1.0), np.full((7, 2), 3.0)
    assert kernel_distance(a, b) == pytest.approx((1 + 1) ** 3 + (9 + 1) ** 3 - 2 * (3 + 1) ** 3)


def test_too_few_for_a_pair():
    with pytest.raises(UserError, match="at least 2"):
        kernel_distance(np.zeros((1, 2)), np.zeros((9, 2)))
