"""Where a run's time goes: every second since its process began belongs to one of a few causes."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import enum
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxgen.core.state import TrainState
from jaxgen.training.feeds import Feed, Span


class Cause(enum.Enum):
    """What time is spent on."""

    START = "start"  # imports, data, the first state or the newest checkpoint
    COMPILE = "compile"
    DATA = "data wait"  # the loop waits for the batches of its next call
    STEP = "step"  # all else in the loop: calls are sent off, and their metrics waited for
    EVALUATION = "evaluation"
    SAMPLING = "sampling"
    CHECKPOINT = "checkpoint"  # what the loop, and at last the process, waits for; the writing itself goes on beside


class Goodput:
    """Seconds by cause, which add up to the time since `began` and what was remembered of the run's earlier processes.

    What a killed process has spent since its last checkpoint is in no process's sum: nobody knows it. Of `runs` that
    are trained together each counts its even share.
    """

    def __init__(self, began: float, runs: int = 1, clock: Callable[[], float] = time.perf_counter):
        self._clock, self._since, self._cause, self._runs = clock, began, Cause.START, runs
        self._spent = dict.fromkeys(Cause, 0.0)

    @contextlib.contextmanager
    def spending(self, cause: Cause) -> Iterator[None]:
        """What happens inside is spent on `cause`, but for what is spent on another within it."""
        outer = self._turn_to(cause)
        try:
            yield
        finally:
            self._turn_to(outer)

    def spent(self) -> dict[str, float]:
        """Seconds up to now by the causes' names."""
        self._turn_to(self._cause)
        return {cause.value: seconds for cause, seconds in self._spent.items()}

    def remember(self, spent: Mapping[str, float]) -> None:
        """Add what processes before this one have spent."""
        for cause in Cause:
            self._spent[cause] += spent.get(cause.value, 0.0)

    def _turn_to(self, cause: Cause) -> Cause:
        now, before = self._clock(), self._cause
        self._spent[before] += (now - self._since) / self._runs
        self._since, self._cause = now, cause
        return before


class TimedFeed:
    """A feed whose waiting is told."""

    def __init__(self, feed: Feed, goodput: Goodput):
        self._feed, self._goodput = feed, goodput

    def example(self, state: TrainState) -> Any:
        with self._goodput.spending(Cause.DATA):
            return self._feed.example(state)

    def __call__(self, state: TrainState, span: Span) -> tuple[Any, TrainState]:
        with self._goodput.spending(Cause.DATA):
            return self._feed(state, span)
