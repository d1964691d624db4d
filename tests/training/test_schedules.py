"""Rates at the first update, at the warm-up's end and at the last are what is told, for every schedule."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.training.schedules import Constant, Cosine, InverseSquareRoot, Linear, Schedule, WarmupStableDecay, rate_of

FALLING = [Cosine, Linear, WarmupStableDecay]
ALL = [*FALLING, Constant, InverseSquareRoot]


def rates(schedule: Schedule, updates: int) -> np.ndarray:
    """The rate of update 1, 2 ... `updates`."""
    taken = jnp.arange(1024)  # of one shape, so that nothing is compiled twice
    return np.asarray(jnp.broadcast_to(schedule.build(updates)(taken), len(taken))[:updates], np.float64)


@pytest.mark.parametrize("kind", ALL)
def test_the_warm_up_rises_in_equal_parts_from_above_0_to_the_peak(kind):
    found = rates(kind(peak=0.4, warmup=8), 40)
    np.testing.assert_allclose(found[:8], 0.4 * np.arange(1, 9) / 8, rtol=1e-6)
    assert found.max() == pytest.approx(0.4)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("warmup", [0, 1])
def test_without_a_warm_up_the_first_update_has_the_peak(kind, warmup):
    assert rates(kind(peak=0.4, warmup=warmup), 10)[0] == pytest.approx(0.4)


@settings(max_examples=40)
@given(
    kind=st.sampled_from(FALLING),
    warmup=st.integers(0, 50),
    after=st.integers(1, 500),
    floor=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_the_floor_is_reached_at_the_last_update_and_nothing_is_below_it(kind, warmup, after, floor):
    updates = max(warmup, 1) + after
    found = rates(kind(peak=0.4, warmup=warmup, floor=floor), updates)
    decays = kind is not WarmupStableDecay or round(0.2 * updates) > 0
    assert found[-1] == np.float32(0.4 * floor if decays else 0.4)
    assert found[0] > 0
    falling = found[max(warmup, 1) - 1 :]
    assert (np.diff(falling) <= 1e-7).all() and (falling >= 0.4 * floor - 1e-7).all()


def test_half_way_down():
    """21 updates after the peak's: the middle one of the fall is half way between peak and floor."""
    for kind in (Cosine, Linear):
        assert rates(kind(peak=1.0, warmup=5, floor=0.2), 25)[14] == pytest.approx(0.6)
    quarter = rates(Cosine(peak=1.0, warmup=5), 25)[9]
    assert quarter == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_the_peak_is_held_and_falls_in_the_last_part_of_the_run():
    found = rates(WarmupStableDecay(peak=1.0, warmup=10, decay=0.25, floor=0.1), 100)
    assert (found[9:75] == 1).all()
    np.testing.assert_allclose(found[75:], 1 - 0.9 * np.arange(1, 26) / 25, rtol=1e-5)
    assert (rates(WarmupStableDecay(peak=1.0, warmup=10, decay=0.0), 100)[9:] == 1).all()
    whole = rates(WarmupStableDecay(peak=1.0, warmup=10, decay=1.0), 100)
    np.testing.assert_allclose(whole, rates(Linear(peak=1.0, warmup=10), 100), rtol=1e-5, atol=1e-7)


def test_the_inverse_square_root_is_that_of_the_paper():
    """Equation 3 of arXiv 1706.03762 with its peak, reached at the warm-up's end, as the factor."""
    update = np.arange(1, 201)
    expected = 0.5 * np.minimum(update / 20, np.sqrt(20 / update))
    np.testing.assert_allclose(rates(InverseSquareRoot(peak=0.5, warmup=20), 200), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_a_run_within_its_warm_up_is_no_error(kind):
    found = rates(kind(peak=1.0, warmup=100), 3)
    np.testing.assert_allclose(found, [0.01, 0.02, 0.03], rtol=1e-6)
    assert np.isfinite(rates(kind(peak=1.0, warmup=0), 1)).all()


@dataclasses.dataclass(frozen=True)
class Stairs:
    """A user's own schedule."""

    high: float = 1.0

    def build(self, updates: int) -> optax.Schedule:
        return optax.piecewise_constant_schedule(self.high, {updates // 2: 0.1})


def test_a_schedule_of_ones_own_is_a_learning_rate():
    rate = rate_of(Stairs(0.5), 10)
    assert [float(rate(taken)) for taken in (0, 9)] == pytest.approx([0.5, 0.05])
    assert rate_of(0.25, 10) == 0.25


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (Cosine, {"peak": 0.0}, "peak is 0.0"),
        (Linear, {"peak": 1.0, "warmup": -1}, "warmup -1"),
        (Cosine, {"peak": 1.0, "floor": 2.0}, "a floor from 0 to 1"),
        (WarmupStableDecay, {"peak": 1.0, "decay": 1.5}, "decay is 1.5; give the share of the run"),
        (Constant, {"peak": -1.0}, "peak above 0"),
        (InverseSquareRoot, {"peak": float("nan")}, "peak is nan"),
    ],
)
def test_schedules_that_cannot_be(kind, fields, sentence):
    with pytest.raises(UserError, match=sentence):
        kind(**fields)
