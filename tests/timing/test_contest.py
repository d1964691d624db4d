"""The races are fair: who runs when, what counts as time, and what must not be timed at all."""
# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.timing import memory
from jaxgen.timing.contest import Contestant, Line, Refused, Work, contest, uncompared


class World:
    """A clock that only work moves on, and a diary of who worked when."""

    def __init__(self):
        self.now, self.diary = 0.0, []

    def clock(self) -> float:
        return self.now

    def contestant(self, name, seconds, compiling=0.0, result=1.0, steps=1, precision="float32") -> Contestant:
        """One whose n-th block takes the n-th of `seconds`."""
        left = iter(seconds)

        def block():
            self.diary.append(name)
            self.now += next(left)
            return jnp.zeros(())

        def prepare(compiles):
            self.now += 1000.0  # making data and weights ready is no compile time
            if compiling:
                with compiles():
                    self.now += compiling
            return Work(block, steps, {"loss": result})

        return Contestant(name, prepare, precision)


def test_blocks_alternate_and_those_that_warm_up_do_not_count():
    world = World()
    a = world.contestant("a", [90, 90, 1, 2, 3])
    b = world.contestant("b", [80, 80, 5, 4, 6])
    row = contest("race", [a, b], blocks=3, warm_up=1, clock=world.clock)
    assert world.diary == list("ab" * 5)  # a round of warm-up, one for the peaks of memory, three blocks
    assert [line.seconds for line in row.lines] == [(1, 2, 3), (5, 4, 6)]
    assert [line.median for line in row.lines] == [2, 5]


def test_time_is_told_per_step():
    world = World()
    row = contest("race", [world.contestant("a", [8] * 5, steps=4)], blocks=2, warm_up=1, clock=world.clock)
    assert row.lines[0].seconds == (2, 2)


def test_median_and_deciles():
    line = Line("a", (5.0, 1.0, 4.0, 2.0, 30.0), 0.0, None)
    assert line.median == 4 and line.deciles == pytest.approx((1.4, 20))
    assert Line("a", (3.0,), 0.0, None).deciles == (3, 3)


def test_the_yardstick_is_timed_in_every_round_and_is_no_contestant():
    world = World()

    def yardstick():
        world.diary.append("|")
        world.now += 0.5

    pair = [world.contestant("a", [1] * 5), world.contestant("b", [2] * 5)]
    row = contest("race", pair, blocks=2, warm_up=1, clock=world.clock, yardstick=yardstick)
    assert world.diary == list("ab|" + "ab" + "ab|" * 2)
    assert row.yardstick == (0.5, 0.5) and [line.name for line in row.lines] == ["a", "b"]


def test_the_share_of_time_that_was_spent_waiting_for_data():
    world, waited = World(), []

    def block():
        world.now += 4
        waited.append(1)

    one = Contestant("a", lambda _: Work(block, 2, {"loss": 1.0}, waited=lambda: float(len(waited))))
    row = contest("race", [one, world.contestant("b", [1] * 9)], blocks=3, clock=world.clock)
    assert [line.wait_share for line in row.lines] == [0.25, None]


def test_compile_time_stands_apart():
    world = World()
    contestants = [world.contestant(name, [1] * 5, compiling=own) for name, own in (("a", 7), ("b", 0))]
    row = contest("race", contestants, blocks=2, warm_up=1, clock=world.clock)
    assert [line.compile_seconds for line in row.lines] == [7, None]
    assert [line.median for line in row.lines] == [1, 1]


@pytest.mark.parametrize("wrong", [1.001, float("nan"), np.ones(2)])
def test_those_that_compute_something_else_are_not_timed(wrong):
    world = World()
    contestants = [world.contestant("a", [1] * 9), world.contestant("b", [1] * 9, result=wrong)]
    with pytest.raises(Refused, match=r"^race: loss .*\bb\b.*not timed$"):
        contest("race", contestants, clock=world.clock)
    assert world.diary == []
    assert contest("race", [world.contestant("a", [1] * 9), world.contestant("b", [1] * 9, result=1 + 1e-6)], blocks=1)


def test_the_tolerance_is_a_share_of_the_largest_element():
    def rows(error):
        world = World()
        small, large = np.array([1e-6, 100.0]), np.array([1e-6 + error, 100.0])
        pair = [world.contestant("a", [1] * 9, result=small), world.contestant("b", [1] * 9, result=large)]
        return contest("race", pair, blocks=1, tolerance=1e-5, clock=world.clock)

    assert rows(0.9e-3)
    with pytest.raises(Refused):
        rows(1.1e-3)


def test_both_must_name_the_same_results():
    world, silent = World(), Contestant("b", lambda compiles: Work(lambda: None, 1, {}))
    with pytest.raises(Refused, match="loss"):
        contest("race", [world.contestant("a", [1] * 9), silent], clock=world.clock)


def test_those_alike_in_size_alone_are_compared_with_nobody():
    world = World()
    a, c = (uncompared(world.contestant(name, [1] * 9, result=float("nan"))) for name in "ac")
    b, d = world.contestant("b", [1] * 9), world.contestant("d", [1] * 9, result=2.0)
    with pytest.raises(Refused, match="loss by d is off b's"):
        contest("race", [a, b, c, d], clock=world.clock)
    assert len(contest("race", [a, c, b], blocks=1, clock=world.clock).lines) == 3


def test_unlike_precisions_do_not_race():
    world = World()
    contestants = [world.contestant("a", []), world.contestant("b", [], precision="bfloat16")]
    with pytest.raises(Refused, match="float32 and bfloat16"):
        contest("race", contestants, clock=world.clock)
    assert world.diary == []


@pytest.mark.skipif(memory.mark() is None, reason="this system does not tell a process's memory")
def test_the_peak_is_seen_after_what_stood_there_is_gone():
    before = memory.mark()
    array = np.ones(64 << 20, np.uint8)
    del array
    assert 60 << 20 < memory.peak_above(before) < 160 << 20
    assert memory.peak_above(memory.mark()) < 30 << 20  # an earlier peak is not told twice
