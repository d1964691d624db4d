"""Average lagging in the cases that its paper works out."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.metrics.latency import average_lagging, read_by


@pytest.mark.parametrize("length", [1, 4, 9])
def test_waiting_for_all_lags_by_the_whole_sentence(length):
    assert average_lagging(read_by(lambda place: None, length, 7), length, 7) == length


@pytest.mark.parametrize("wait_k", [1, 2, 5])
def test_wait_k_lags_by_k_where_both_are_as_long(wait_k):
    assert average_lagging(read_by(lambda place: place + wait_k, 8, 8), 8, 8) == pytest.approx(wait_k)


def test_in_seconds_it_reads_a_stride_for_each_token_and_hears_it_a_little_late():
    read = read_by(lambda place: (place + 2) * 0.32 + 0.015, 1.5, 4)
    assert read == pytest.approx([0.655, 0.975, 1.295, 1.5])


def test_an_uneven_case_by_hand():
    """Three words for six: each counts for two, and the third is the first with all read."""
    assert average_lagging([2, 4, 6], 6, 3) == pytest.approx((2 + (4 - 2) + (6 - 4)) / 3)
    assert average_lagging([2, 6, 6], 6, 3) == pytest.approx((2 + (6 - 2)) / 2)
    assert average_lagging([], 6, 3) == 0.0
