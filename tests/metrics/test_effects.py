"""Intervals and tests of figures over seeds are the textbook's, and hold as often as they say."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from jaxgen.metrics.effects import effect, holm, interval


def test_an_interval_is_student_s():
    """Of Student's own data (1908): the hours of sleep that ten patients gained by a second drug over a first."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = effect(first, second)
    assert found.difference.mean == pytest.approx(1.58) and found.difference.count == 10
    assert (found.difference.low, found.difference.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p == pytest.approx(0.002832890, abs=1e-8)


def test_one_seed_has_no_interval():
    alone = interval([2.5])
    assert alone.mean == 2.5 and math.isnan(alone.low) and math.isnan(alone.high)
    assert math.isnan(effect([1.0], [2.0]).p)


def test_the_same_difference_for_every_seed_is_certain():
    assert effect([1.0, 2.0], [2.0, 3.0]).p == 0.0 and effect([1.0, 2.0], [1.0, 2.0]).p == 1.0


def test_an_interval_of_five_seeds_covers_a_planted_effect_95_times_in_100():
    """A difference of 2 % over noise of 1 % within pairs, 2,000 grids; by chance 93.6 to 96.4 % (three deviations)."""
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        shared = draw.normal(0, 0.05, 5)  # what a seed does to both
        before, after = (level + shared + draw.normal(0, 0.01, 5) for level in (1.0, 1.02))
        found = effect(before, after).difference
        covered += found.low <= 0.02 <= found.high
    assert 0.936 <= covered / 2000 <= 0.964


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, math.nan, 0.6])[0] == 1.0 and math.isnan(holm([0.9, math.nan])[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_single_tests_and_bonferroni(ps):
    raised = holm(ps)
    assert all(p <= more <= min(1, len(ps) * p) + 1e-12 for p, more in zip(ps, raised, strict=True))
    in_order = [more for _, more in sorted(zip(ps, raised, strict=True))]
    assert in_order == sorted(in_order)


def test_holm_errs_in_five_of_a_hundred_families_of_tests():
    """Ten tests without any effect, 4,000 times."""
    draw = np.random.default_rng(1)
    values = draw.normal(size=(4000, 10, 5))
    ps = stats.ttest_1samp(values, 0, axis=2).pvalue
    assert np.mean([min(holm(row)) < 0.05 for row in ps]) == pytest.approx(0.049, abs=0.011)
