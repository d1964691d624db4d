"""The host's part of a step is found where it is known."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from step_overhead import PER_CALL, Overhead


def test_a_known_cost_of_a_call_is_found_again():
    seconds = tuple(0.004 + 0.001 / k for k in PER_CALL)
    found = Overhead.of(PER_CALL, seconds)
    assert found.asymptote == pytest.approx(0.004) and found.host == pytest.approx(0.001)
    assert found.share(1) == pytest.approx(1 / 5) and found.share(25) == pytest.approx(0.00004 / 0.00404)


def test_without_a_cost_the_share_is_nothing():
    assert Overhead.of(PER_CALL, (0.004,) * len(PER_CALL)).share(1) == pytest.approx(0, abs=1e-9)
