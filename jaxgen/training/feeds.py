"""The calls of a run, and what each is fed: a traced source itself, or batches that the host has made ready."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.data import Between, Streamed
from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.training.parallel import JitDevices, PmapDevices
from jaxgen.training.processes import gathered, refuse_together, several
from jaxgen.types import NO_PARTS, Parts, Variables

Devices = JitDevices | PmapDevices
Span = tuple[int, int]  # a call's first step, and how many it takes


def spans(step: int, steps: int, most: int, events: tuple[int, ...]) -> Iterator[Span]:
    """The calls of a run from `step` on: at most `most` steps each, none across a multiple of an event's interval."""
    while step < steps:
        end = min([steps, *(step - step % every + every for every in events)])
        count = min(most, end - step)
        yield step, count
        step += count


@runtime_checkable
class ManyShapes(Protocol):
    """A streamed source whose batches are of a few shapes."""

    def same_shape_until(self, state: Any, number: int) -> int:
        """The first batch after `number` that may be of another shape."""


def in_one_shape(calls: Iterator[Span], source: ManyShapes, source_state: Any, draws: int) -> Iterator[Span]:
    """The calls, cut where the shape may change; a step that draws batches of two shapes is a call of its own."""
    state = jax.tree.map(jnp.copy, source_state)  # the run's own is donated to its first call

    def cut() -> Iterator[Span]:
        for step, count in calls:
            end = step + count
            while step < end:
                until = source.same_shape_until(state, step * draws) // draws
                stop = min(end, max(step + 1, until))
                yield step, stop - step
                step = stop

    return cut()


class Feed(Protocol):
    """Gives each call its batches."""

    def example(self, state: TrainState) -> Any:
        """What a call is fed, to compile the program with."""

    def __call__(self, state: TrainState, span: Span) -> tuple[Any, TrainState]: ...


class TracedFeed:
    """The source goes into the program as it is and makes its batches there."""

    def __init__(self, source: Any, devices: Devices):
        self._source = devices.put_feed(source, traced=True)

    def example(self, state: TrainState) -> Any:
        return self._source

    def __call__(self, state: TrainState, span: Span) -> tuple[Any, TrainState]:
        return self._source, state


class StreamedFeed:
    """Batches are fetched and sent to the devices on a thread, one call ahead of the one that consumes them."""

    def __init__(
        self, source: Streamed, devices: Devices, source_state: Any, draws: int, most: int, ahead: Iterator[Span]
    ):
        self._source, self._devices, self._state = source, devices, _kept(source_state)
        self._draws, self._most, self._ahead = draws, most, ahead
        self._batches: Iterator[Mapping[str, np.ndarray]] | None = None  # begun with the first call's first
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._ready = self._begin()

    def _begin(self) -> tuple[Span, Future] | None:
        span = next(self._ahead, None)
        return None if span is None else (span, self._pool.submit(self._fetch, *span))

    def example(self, state: TrainState) -> Any:
        return self._ready[1].result()

    def _fetch(self, step: int, count: int) -> Any:
        return self._devices.put_feed(self.stacked(step, count), traced=False)

    def stacked(self, step: int, count: int) -> tuple[dict[str, np.ndarray], ...]:
        """For each draw of a step its batches [K, B, ...]; a short call repeats its last batch, unread."""
        if self._batches is None:
            self._batches = self._source.stream(self._state, step * self._draws, self._devices.rows)
        steps = [[next(self._batches) for _ in range(self._draws)] for _ in range(count)]
        steps += [steps[-1]] * (self._most - count)
        return tuple(_stack(list(batches)) for batches in zip(*steps, strict=True))

    def __call__(self, state: TrainState, span: Span) -> tuple[Any, TrainState]:
        assert self._ready is not None and self._ready[0] == span, "calls come in the order that was announced"
        batches = self._ready[1].result()
        self._ready = self._begin()
        return batches, state


class BetweenFeed:
    """Batches are made on the host between two steps, from the parameters as they are."""

    def __init__(self, source: Between, devices: Devices, draws: int, parts: Parts = NO_PARTS):
        self._source, self._devices, self._draws, self._parts = source, devices, draws, devices.fetch_parts(parts)
        self._first: tuple[Any, Any] | None = None

    def example(self, state: TrainState) -> Any:
        """The first call's batches; they are kept for it, since making them may cost a whole rollout."""
        self._first = self._made(state, int(self._devices.fetch(state).step))
        return self._first[0]

    def __call__(self, state: TrainState, span: Span) -> tuple[Any, TrainState]:
        step, count = span
        assert count == 1, "a source between steps is asked before every step"
        feed, source_state = self._first or self._made(state, step)
        self._first = None
        return feed, state if source_state is None else self._devices.with_source(state, source_state)

    def _made(self, state: TrainState, step: int) -> tuple[Any, Any]:
        """The batches of one step, on the devices, and the source's state after them; None where it is as before.

        Each process makes its own rows. A UserError at one of them ends all at this step.
        """
        now, mistake, made = self._devices.fetch(state), None, ((), None)
        try:
            params, extra, source_state = gathered((now.params, now.extra, now.source))
            params = params if several() else self._devices.readable(params)
            made = self._own_rows(Variables(params, extra, self._parts), source_state, step)
        except UserError as error:
            mistake = error
        refuse_together(mistake)
        return self._devices.put_feed(made[0], traced=False), made[1]

    def _own_rows(self, variables: Variables, source_state: Any, step: int) -> tuple[tuple, Any]:
        batches, before = [], source_state
        for number in range(step * self._draws, (step + 1) * self._draws):
            batch, source_state = self._source.make(source_state, variables, number, self._devices.drawn_rows)
            batches.append(_stack([batch]))
        return tuple(batches), None if source_state is before else source_state


def feed_for(
    source: Any, devices: Devices, state: TrainState, draws: int, most: int, calls: Iterator[Span], parts: Parts
) -> Feed:
    """The feed of a source's kind, for `calls` of at most so many steps from `state` on."""
    if isinstance(source, Between):
        return BetweenFeed(source, devices, draws, parts)
    if isinstance(source, Streamed):
        return StreamedFeed(source, devices, devices.fetch(state).source, draws, most, calls)
    return TracedFeed(source, devices)


def _kept(source_state: Any) -> Any:
    """A copy in host memory: the state itself is donated to the first call, and a device would make the thread wait."""
    return jax.device_put(jax.tree.map(jnp.copy, gathered(source_state)), jax.local_devices(backend="cpu")[0])


def _stack(batches: list) -> dict[str, np.ndarray]:
    return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
