"""Contestants timed fairly in one process: parity first, then blocks in turn; compile time and memory stand apart."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from jaxgen.timing import memory

Clock = Callable[[], float]
Compiling = Callable[[], contextlib.AbstractContextManager]  # what happens inside it counts as compile time


class Refused(Exception):
    """A row that must not be timed: one sentence that says why."""


@dataclass(frozen=True)
class Does:
    """What a step does, whoever takes it, so that its time can be told as a rate; None where nobody counts it."""

    examples: int | None = None
    tokens: int | None = None
    flops: float | None = None  # of the model: nothing counted twice that is computed twice, causal attention once
    bytes: float | None = None  # that have to be read from memory, such as all weights for each token decoded
    devices: int = 1  # that share it


@dataclass(frozen=True)
class Work:
    """A contestant made ready: `block()` takes `steps` steps and returns what must be waited for.

    `results` are compared with the other contestants' before anything is timed: outputs, losses, gradients by name.
    None are those of one that computes something else, or draws otherwise. JAX's arrays are waited for here; a block of
    another library returns when its own device has finished. `before` runs ahead of each block, untimed. `waited` tells
    the seconds that it has waited for data since it was made ready. `intensity`: arithmetic, FLOPs a byte of memory.
    """

    block: Callable[[], Any]
    steps: int
    results: Mapping[str, Any] | None
    before: Callable[[], Any] = lambda: None
    waited: Callable[[], float] | None = None
    does: Does = Does()
    intensity: float | None = None
    elsewhere: bool = False  # in another process, whose memory cannot be seen from this one


@dataclass(frozen=True)
class Contestant:
    """One side of a row. `prepare(compiling)` makes it ready and does its compiling within `with compiling():`."""

    name: str
    prepare: Callable[[Compiling], Work]
    precision: str = "float32"  # of its arithmetic; like races against like alone


@dataclass(frozen=True)
class Absent:
    """A peer that cannot take part here: `why` becomes a note of the row, whose other contestants run."""

    why: str


@dataclass(frozen=True)
class Line:
    """What was measured of one contestant; `seconds` of a step, a mean over each block."""

    name: str
    seconds: tuple[float, ...]
    compile_seconds: float | None  # None: it compiled nothing
    peak_bytes: int | None  # the highest in a block above what was held before it; None where that cannot be told
    does: Does = Does()
    wait_share: float | None = None  # of the blocks' time that was spent waiting for data
    intensity: float | None = None  # FLOPs a byte of memory

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def deciles(self) -> tuple[float, float]:
        """The first and the last one, by linear interpolation; of a single block that block itself."""
        low, high = np.quantile(self.seconds, [0.1, 0.9])
        return float(low), float(high)


@dataclass(frozen=True)
class Row:
    """One question, its contestants' lines (all else is told relative to the first), and what else must be said."""

    name: str
    precision: str
    lines: tuple[Line, ...]
    load: float  # processes that wanted a core in the minute before; what else the machine was doing
    notes: tuple[str, ...] = ()
    yardstick: tuple[float, ...] = ()  # seconds of the same work in each round: what the machine itself did meanwhile
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else a file of results keeps, such as the config


@contextlib.contextmanager
def _older_objects_frozen() -> Iterator[None]:
    """What a process holds already is looked at by no collection inside: a large one would take a second for each.

    What the caller had frozen before stays so.
    """
    own = not gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if own:
            gc.unfreeze()


@_older_objects_frozen()
def contest(
    name: str,
    contestants: Iterable[Contestant | Absent],
    blocks: int = 10,
    tolerance: float = 1e-5,
    warm_up: int = 1,
    notes: tuple[str, ...] = (),
    clock: Clock = time.perf_counter,
    yardstick: Callable[[], Any] | None = None,
) -> Row:
    """Time the contestants' blocks in turn, A B A B ..., after `warm_up` rounds that do not count.

    Every drift of the machine hits all of them alike that way, and `yardstick`, work that is the same in every file of
    results and is timed in every round, tells it. Refused when the contestants' precisions differ, or a result differs
    from the first one's that has results by more than `tolerance` of its largest element.
    """
    asked, load = tuple(contestants), os.getloadavg()[0]
    contestants = [one for one in asked if isinstance(one, Contestant)]
    notes = (*notes, *dict.fromkeys(one.why for one in asked if isinstance(one, Absent)))
    precisions = dict.fromkeys(contestant.precision for contestant in contestants)
    if len(precisions) != 1:
        raise Refused(f"{name}: {' and '.join(precisions)} cannot race each other; give all contestants one precision")
    works, compiling, first = [], [], None
    for contestant in contestants:
        stopwatch = _Stopwatch(clock)
        works.append(work := contestant.prepare(stopwatch.running))
        compiling.append(stopwatch.seconds)
        if work.results is not None:
            first = first or (contestant.name, work.results)
            check_parity(name, *first, contestant.name, work.results, tolerance)
    beside = () if yardstick is None else (Work(yardstick, 1, None),)
    times = [_Times(work, clock) for work in (*works, *beside)]
    _rounds(times, warm_up, counts=False)
    peaks = [_peak(work) for work in works]
    _rounds(times, blocks, counts=True)
    every = zip(contestants, works, times, compiling, peaks, strict=False)  # the yardstick is in none but `times`
    lines = tuple(
        Line(one.name, timed.seconds, compiled, peak, work.does, timed.wait_share, work.intensity)
        for one, work, timed, compiled, peak in every
    )
    unit = () if yardstick is None else times[-1].seconds
    return Row(name, next(iter(precisions)), lines, load, notes, unit)


def uncompared(one: Contestant) -> Contestant:
    """The contestant without results: others of its row compute something else, or draw otherwise."""
    return replace(one, prepare=lambda compiling: replace(one.prepare(compiling), results=None))


def check_parity(
    row: str, first: str, expected: Mapping[str, Any], other: str, results: Mapping[str, Any], tolerance: float
) -> None:
    """Refused unless both name the same results and these agree to `tolerance` of their largest element."""
    if set(expected) != set(results):
        lacking = ", ".join(sorted(set(expected) ^ set(results)))
        raise Refused(f"{row}: {first} and {other} cannot be compared, only one of them gives {lacking}")
    for name in expected:
        a, b = np.asarray(expected[name], np.float64), np.asarray(results[name], np.float64)
        if a.shape != b.shape:
            raise Refused(f"{row}: {name} is {list(a.shape)} by {first} and {list(b.shape)} by {other}; not timed")
        off = np.abs(a - b).max(initial=0.0) / (np.abs(a).max(initial=0.0) or 1.0)
        if not off <= tolerance:  # a NaN is refused too
            raise Refused(
                f"{row}: {name} by {other} is off {first}'s by {off:.1e} of its largest element where {tolerance:.0e} "
                "is allowed; not timed"
            )


def _peak(work: Work) -> int | None:
    """The peak of memory in a block; its first ones, of the warm-up, may have kept something."""
    if work.elsewhere:
        return None
    work.before()
    before = memory.mark()
    _wait(work.block())
    return memory.peak_above(before)


class _Times:
    """A contestant's blocks, each timed: seconds a step, and how many seconds of a block it waited for data."""

    def __init__(self, work: Work, clock: Clock):
        self._work, self._clock = work, clock
        self._blocks: list[tuple[float, float]] = []  # seconds of the block, and of them the wait

    def block(self, counts: bool) -> None:
        work = self._work
        work.before()
        before = self._waited()
        with _no_garbage_collection():
            began = self._clock()
            _wait(work.block())
            ended = self._clock()
        if counts:
            self._blocks.append((ended - began, self._waited() - before))

    def _waited(self) -> float:
        return self._work.waited() if self._work.waited else 0.0

    @property
    def seconds(self) -> tuple[float, ...]:
        """Of a step, in each block."""
        return tuple(block / self._work.steps for block, _ in self._blocks)

    @property
    def wait_share(self) -> float | None:
        if self._work.waited is None:
            return None
        return sum(wait for _, wait in self._blocks) / sum(block for block, _ in self._blocks)


def _rounds(times: Sequence[_Times], rounds: int, counts: bool) -> None:
    """So many blocks of all in turn."""
    for _ in range(rounds):
        for own in times:
            own.block(counts)


def _wait(result: Any) -> None:
    """Until every array of it is there; what is no JAX array is there already."""
    jax.block_until_ready(result)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collected before, so that one contestant's garbage is not swept in another's time."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Stopwatch:
    """Seconds inside `with running():`, summed."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self.seconds: float | None = None  # until it has run

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self.seconds = (self.seconds or 0.0) + self._clock() - began
