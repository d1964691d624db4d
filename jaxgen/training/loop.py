"""The one loop: calls of the program, their metrics read one call late, and what happens at certain steps."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.training.feeds import Feed, Span
from jaxgen.types import Metrics


@dataclass(frozen=True)
class Hook:
    """What is done with the state at every `every`-th step and after the last one; the loop waits for it."""

    every: int
    act: Callable[[int, TrainState], None]


class Stopwatch:
    """Seconds spent training: what hooks take is not counted. A resumed run goes on from the seconds before."""

    def __init__(self, seconds: float = 0.0):
        self._since = time.perf_counter() - seconds
        self._stopped_at: float | None = None  # while paused

    @property
    def seconds(self) -> float:
        return (time.perf_counter() if self._stopped_at is None else self._stopped_at) - self._since

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._stopped_at = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - self._stopped_at
            self._stopped_at = None


class Window:
    """Metrics since the last logged line: totals and weights, summed in the order of the calls."""

    def __init__(self, sums: dict[str, list[float]] | None = None):
        self.sums = sums or {}

    def add(self, metrics: Metrics) -> None:
        """Wait for a call's metrics and add them."""
        for name, mean in jax.device_get(metrics).items():
            total, weight = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = [total + float(mean.total), weight + float(mean.weight)]

    def take(self) -> dict[str, float]:
        """The means over the window, which is empty afterwards."""
        values = {name: total / weight if weight else float("nan") for name, (total, weight) in self.sums.items()}
        self.sums = {}
        return values


def fit(
    program: Callable[[TrainState, Any, Any], tuple[TrainState, Metrics]],
    state: TrainState,
    feed: Feed,
    calls: Iterable[Span],
    steps: int,
    read: Callable[[int, Metrics], None],
    hooks: tuple[Hook, ...],
    stopwatch: Stopwatch,
    stopped: Callable[[], bool],
    ended: Callable[[], bool] = lambda: False,
    rescue: Callable[[int, TrainState], None] = lambda step, state: None,
) -> tuple[TrainState, int]:
    """Run the calls, at least one. Returns the state and the step that it stands at.

    `read(step, metrics)` gets each call's metrics after the next call has been dispatched, so that the device never
    waits for the host; before a hook, which looks at the state, nothing is left unread. `stopped` is asked once a call,
    `ended` after hooks. Where a batch cannot be had, `rescue` gets the state that the last call has left.
    """
    late: tuple[int, Metrics] | None = None
    step = 0
    for span in calls:
        try:
            batches, state = feed(state, span)
        except UserError:
            if late is not None:
                read(*late)
            rescue(span[0], state)
            raise
        state, metrics = program(state, batches, np.int32(span[1]))
        step = sum(span)
        if late is not None:
            read(*late)
        late = (step, metrics)
        due = [hook for hook in hooks if step % hook.every == 0 or step == steps]
        stopping = stopped()  # asked once: a signal between two answers would leave this call's metrics unread
        if due or stopping:
            read(*late)
            late = None
            with stopwatch.paused():
                for hook in due:
                    hook.act(step, state)
            stopping = stopping or ended()  # a hook was stopped in the middle, or has found that it is time
        if stopping:
            break
    return state, step
