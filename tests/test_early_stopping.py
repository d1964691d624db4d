"""Which runs end early is what the papers' rules say, whatever the order in which runs come."""
# SPDX-License-Identifier: Apache-2.0

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.early_stopping import MedianStopping, SuccessiveHalving
from jaxgen.errors import UserError

FIGURES = st.lists(st.floats(0, 10), min_size=1, max_size=6)


def curve(figures):
    """An evaluation every ten steps."""
    return {10 * (number + 1): figure for number, figure in enumerate(figures)}


@given(FIGURES, st.lists(FIGURES, max_size=8), st.integers(1, 4))
def test_a_run_ends_whose_best_is_worse_than_the_median_of_the_others_means(own, others, among):
    as_far = [figures[: len(own)] for figures in others if len(figures) >= len(own)]
    behind = len(as_far) >= among and min(own) > statistics.median(map(statistics.fmean, as_far))
    assert MedianStopping(among=among).ends(curve(own), list(map(curve, others))) is behind
    assert not MedianStopping(after=10 * len(own), among=among).ends(curve(own), list(map(curve, others)))


def test_a_figure_that_is_no_number_is_behind_all_others():
    others = [curve([3.0, 2.0]), curve([5.0, 4.0])]
    for rule in (MedianStopping(among=2), SuccessiveHalving(first=20, factor=2)):
        assert rule.ends(curve([math.nan, math.nan]), others)
        assert not rule.ends(curve([1.0, 1.0]), [*others, curve([math.nan, math.nan])])


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12, unique=True), st.integers(2, 4))
def test_of_runs_that_come_to_a_rung_one_after_another_the_best_so_far_go_on(figures, factor):
    """The share of those there that are better decides; the first always goes on."""
    rule, came = SuccessiveHalving(first=10, factor=factor), []
    for figure in figures:
        better = sum(other < figure for other in came)
        assert rule.ends({10: figure}, [{10: other} for other in came]) is (better >= (len(came) + 1) / factor)
        came.append(figure)


def test_a_rung_is_judged_once_at_the_first_evaluation_from_there_on():
    rule, better = SuccessiveHalving(first=15, factor=2), [curve([0.0] * 9)]
    ended = [rule.ends(curve([1.0] * count), better) for count in range(1, 10)]
    # rungs at 15, 30 and 60 steps
    assert [10 * (place + 1) for place, ends in enumerate(ended) if ends] == [20, 30, 60]


def test_mistakes_are_told():
    for make in (lambda: MedianStopping(among=0), lambda: SuccessiveHalving(first=0), lambda: SuccessiveHalving(9, 1)):
        with pytest.raises(UserError, match="give"):
            make()
