"""An experiment's training in memory: its own program, taken so many steps a call, no folder beside it."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.core.state import TrainState
from jaxgen.running.assembly import Assembly
from jaxgen.running.starting import Started
from jaxgen.timing.contest import Refused
from jaxgen.training.feeds import ManyShapes, Span, TracedFeed, feed_for
from jaxgen.training.goodput import Cause, Goodput, TimedFeed
from jaxgen.training.loop import Stopwatch, Window, fit
from jaxgen.training.program import given_parts
from jaxgen.types import Metrics

Program = Callable[[TrainState, Any, Any], tuple[TrainState, Metrics]]
COMPARED = 3  # steps after the first whose losses are compared: later ones Adam lets rounding grow in


class Training:
    """A run in memory: its feed, its state, which every call replaces, and the program that `compiled` makes for it.

    `compiled(state, what a call is fed, whether that is a traced source)`. The first call is one step long, then
    come the `COMPARED` and one more, and all others are `per_call` long, or as long as takes `longest` seconds.
    """

    def __init__(
        self,
        assembly: Assembly,
        compiled: Callable[[TrainState, Any, bool], Program],
        per_call: int,
        start: Started = Started(),
        longest: float = math.inf,
    ):
        devices, source = assembly.devices, assembly.source
        if isinstance(source, ManyShapes):
            raise Refused(f"{assembly.experiment.data.name}: its batches have several shapes; not timed")
        first = lambda key, start: assembly.init(key, *start)  # noqa: E731 - jitted as one
        self.state = devices.begin(first, assembly.key, (start.variables, start.moments))
        self._calls, ahead = itertools.tee(self._announced())
        self.per_call, self._longest = per_call, longest
        self._goodput = Goodput(time.perf_counter())
        feed = feed_for(source, devices, self.state, assembly.game.draws, per_call, ahead, assembly.parts)
        self.feed = TimedFeed(feed, self._goodput)
        self.program = compiled(self.state, feed.example(self.state), isinstance(feed, TracedFeed))

    def steps(self, count: int) -> TrainState:
        """`count` steps, whole calls, by the loop that `jaxgen train` runs, reading the metrics as it does."""
        assert count % self.per_call == 0, "a block is so many whole calls"
        calls, window = itertools.islice(self._calls, count // self.per_call), Window()
        self.state, _ = fit(
            self.program, self.state, self.feed, calls, 0, lambda _, m: window.add(m), (), Stopwatch(), _never
        )
        return self.state

    def waited(self) -> float:
        """The seconds that the calls so far have waited for their batches."""
        return self._goodput.spent()[Cause.DATA.value]

    def results(self) -> dict[str, float]:
        """Every loss and gradient norm of the first step, and every loss as the mean over the few steps after it.

        To be asked for first.
        """
        first, began = _values(self._call()), time.perf_counter()
        calls = [_values(self._call()) for _ in _cut(COMPARED, self.per_call)]
        most = self._longest * COMPARED / (time.perf_counter() - began)
        self.per_call = int(max(1, min(self.per_call, most)))
        _values(self._call())  # announced to the feed before that was known
        sums = {name: sum(values[name] for values in calls) for name in first}
        named = {f"{name} in the first step": total / weight for name, (total, weight) in first.items()}
        later = {
            f"{name} in the {COMPARED} steps after it": total / weight
            for name, (total, weight) in sums.items()
            if name.endswith("loss")
        }
        return named | later

    def _announced(self) -> Iterator[Span]:
        step = 0
        for count in (1, *_cut(COMPARED, self.per_call), 1):
            yield step, count
            step += count
        while True:
            yield step, self.per_call
            step += self.per_call

    def _call(self) -> Metrics:
        span = next(self._calls)
        feed, state = self.feed(self.state, span)
        self.state, metrics = self.program(state, feed, np.int32(span[1]))
        return metrics


def compile_program(assembly: Assembly, state: TrainState, fed: Any, traced: bool = True) -> Program:
    """The program of `jaxgen train`, compiled."""
    return given_parts(compile_step(assembly, state, fed, traced), assembly.parts)


def compile_step(assembly: Assembly, state: TrainState, fed: Any, traced: bool = True) -> jax.stages.Compiled:
    """The same as XLA has it, to be asked for its memory; it still takes the parts."""
    how = traced, assembly.loops, assembly.parts
    return assembly.devices.lower(assembly.game, state, fed, *how).compile()


def _never() -> bool:
    return False


def _cut(count: int, per_call: int) -> list[int]:
    return [min(per_call, count - begin) for begin in range(0, count, per_call)]


def _values(metrics: Metrics) -> Mapping[str, np.ndarray]:
    """Each loss and gradient norm as [total, weight]."""
    compared = {name: mean for name, mean in metrics.items() if name.split("/")[-1] in ("loss", "gradient_norm")}
    return {name: np.array([mean.total, mean.weight], np.float64) for name, mean in compared.items()}
