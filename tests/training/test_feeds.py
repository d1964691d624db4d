"""The three kinds of sources feed one step alike."""
# SPDX-License-Identifier: Apache-2.0

import functools
import time
from dataclasses import dataclass

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.errors import UserError
from jaxgen.training import processes
from jaxgen.training.feeds import BetweenFeed, StreamedFeed, TracedFeed, spans
from jaxgen.training.loop import Hook, Stopwatch, fit
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.step import init_state
from tests.data.batches import batch_at
from tests.training.test_step import BATCH, duel

STEPS, CALL = 7, 3


@given(st.integers(0, 40), st.integers(1, 60), st.integers(1, 9), st.lists(st.integers(1, 12), max_size=3).map(tuple))
def test_calls_cover_every_step_once_and_cross_no_event(step, steps, most, events):
    calls = list(spans(step, steps, most, events))
    assert [n for first, count in calls for n in range(first, first + count)] == list(range(step, steps))
    for first, count in calls:
        assert 1 <= count <= most
        assert not any(every * (first // every + 1) < first + count for every in events)


@dataclass(frozen=True)
class Counting:
    """A source between steps: the resident set's batches, and how many times it was asked in its state."""

    streamed: object
    spec: object
    batch_size: int

    def init(self, key, moving):
        return {"key": key, "asked": np.int32(0)}

    def make(self, state, variables, number, rows):
        assert np.array_equal(rows, np.arange(BATCH))
        assert np.isfinite(np.asarray(variables.params["left"]["kernel"])).all()
        return batch_at(self.streamed, state["key"], number), {"key": state["key"], "asked": state["asked"] + 1}


def run(kind: str, parallel: Parallel, **augmented):
    lives = Residence.DEVICE if kind == "traced" else Residence.HOST
    data = Pictures(batch_size=BATCH, residence=lives, **augmented)
    source, game, devices = data.source(), duel(augment=data.augment), parallel.place(BATCH)
    most = 1 if kind == "between" else CALL
    if kind == "between":
        source = Counting(source, source.spec, BATCH)
    begin = source.init(jax.random.key(9), None)
    init = jax.jit(lambda key, begin: init_state(game, key, lambda moving: begin))
    state = devices.put_state(init(jax.random.key(0), begin))
    calls = functools.partial(spans, 0, STEPS, most, (5,))
    feed = {
        "traced": lambda: TracedFeed(source, devices),
        "streamed": lambda: StreamedFeed(source, devices, devices.fetch(state).source, game.draws, most, calls()),
        "between": lambda: BetweenFeed(source, devices, game.draws),
    }[kind]()
    program = devices.lower(game, state, feed.example(state), kind == "traced", loops=True).compile()
    state, step = fit(program, state, feed, calls(), STEPS, lambda *_: None, (), Stopwatch(), lambda: False)
    assert step == STEPS
    return devices.fetch(state)


@pytest.mark.parametrize("parallel", [Parallel(data=2), Parallel(compiler=Compiler.PMAP, data=2)], ids=["jit", "pmap"])
def test_the_three_kinds_take_the_same_steps(parallel):
    kinds = ("traced", "streamed", "between")
    traced, streamed, between = (run(kind, parallel, flip=True, crop=2) for kind in kinds)
    for other in (streamed, between):
        for a, b in zip(jax.tree.leaves(traced.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)
    assert int(between.source["asked"]) == STEPS * duel().draws  # compiling asked for nothing beside


def test_metrics_are_read_one_call_late_but_before_any_hook():
    order = []

    def program(state, feed, count):
        order.append(("call", state))
        return state + 1, state + 1

    class Nothing:
        def __call__(self, state, span):
            return None, state

    hook = Hook(2, lambda step, state: order.append(("hook", step)))
    calls = [(0, 1), (1, 1), (2, 1)]
    fit(
        program,
        0,
        Nothing(),
        calls,
        3,
        lambda step, _: order.append(("read", step)),
        (hook,),
        Stopwatch(),
        lambda: False,
    )
    assert order == [
        ("call", 0),
        ("call", 1),
        ("read", 1),
        ("read", 2),
        ("hook", 2),
        ("call", 2),
        ("read", 3),
        ("hook", 3),
    ]


def test_a_signal_during_a_call_leaves_no_metrics_unread():
    """`stopped` turns true between two looks: the call that it fell into is read all the same."""
    read, answers = [], iter([False, True, True])

    def program(state, feed, count):
        return state, state

    class Nothing:
        def __call__(self, state, span):
            return None, state

    calls = [(0, 1), (1, 1), (2, 1)]
    _, step = fit(
        program, 0, Nothing(), calls, 3, lambda step, _: read.append(step), (), Stopwatch(), lambda: next(answers)
    )
    assert step == 2 and read == [1, 2]


def test_a_pause_is_not_counted_even_while_it_lasts():
    watch = Stopwatch(5.0)
    with watch.paused():
        within = watch.seconds
        time.sleep(0.02)
        assert watch.seconds == within
    assert watch.seconds - within < 0.01


def test_where_a_batch_cannot_be_had_the_last_state_is_rescued_with_all_that_was_measured():
    order = []

    class Short:
        def __call__(self, state, span):
            if span[0] == 2:
                raise UserError("no more")
            return None, state

    with pytest.raises(UserError, match="no more"):
        fit(
            lambda state, feed, count: (state + 1, state + 1),
            0,
            Short(),
            [(0, 1), (1, 1), (2, 1)],
            3,
            lambda step, _: order.append(("read", step)),
            (),
            Stopwatch(),
            lambda: False,
            rescue=lambda step, state: order.append(("rescue", step, state)),
        )
    assert order == [("read", 1), ("read", 2), ("rescue", 2, 2)]


@pytest.mark.parametrize("own", [True, False])
def test_processes_leave_together_where_one_cannot_make_its_rows(own, monkeypatch):
    monkeypatch.setattr(processes, "several", lambda: True)
    other = np.zeros(500, np.uint8)  # what process 0 said
    monkeypatch.setattr(processes.multihost_utils, "process_allgather", lambda sent: np.stack([other, sent]))
    processes.refuse_together(None)
    if not own:
        other[:6] = np.frombuffer(b"theirs", np.uint8)
    with pytest.raises(UserError, match="^mine$" if own else "^process 0: theirs$"):
        processes.refuse_together(UserError("mine") if own else None)
