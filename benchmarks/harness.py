"""Contestants timed fairly in one process: parity first, then blocks in turn; compile time and memory stand apart."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import gc
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import memory
import numpy as np

Clock = Callable[[], float]
Compiling = Callable[[], contextlib.AbstractContextManager]  # what happens inside it counts as compile time


class Refused(Exception):
    """A row that must not be timed: one sentence that says why."""


@dataclass(frozen=True)
class Work:
    """A contestant made ready: `block()` takes `steps` steps and returns what must be waited for.

    `results` are compared with the other contestants' before anything is timed: outputs, losses, gradients by name.
    JAX's arrays are waited for here; a block of another library returns when its own device has finished. `before` runs
    ahead of each block, untimed.
    """

    block: Callable[[], Any]
    steps: int
    results: Mapping[str, Any]
    before: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Contestant:
    """One side of a row. `prepare(compiling)` makes it ready and does its compiling within `with compiling():`."""

    name: str
    prepare: Callable[[Compiling], Work]
    precision: str = "float32"  # of its arithmetic; like races against like alone


@dataclass(frozen=True)
class Line:
    """What was measured of one contestant; `seconds` of a step, a mean over each block."""

    name: str
    seconds: tuple[float, ...]
    compile_seconds: float | None  # None: it compiled nothing
    peak_bytes: int | None  # the highest in a block above what was held before it; None where that cannot be told

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper one, by linear interpolation; of a single block that block itself."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(low), float(high)


@dataclass(frozen=True)
class Row:
    """One question, its contestants' lines (all else is told relative to the first), and what else must be said."""

    name: str
    precision: str
    lines: tuple[Line, ...]
    load: float  # processes that wanted a core in the minute before; what else the machine was doing
    notes: tuple[str, ...] = ()


def contest(
    name: str,
    contestants: Iterable[Contestant],
    blocks: int = 10,
    tolerance: float = 1e-5,
    warm_up: int = 1,
    notes: tuple[str, ...] = (),
    clock: Clock = time.perf_counter,
) -> Row:
    """Time the contestants' blocks in turn, A B A B ..., after `warm_up` rounds that do not count.

    Every drift of the machine hits all of them alike that way. Refused when the contestants' precisions differ, or a
    result differs from the first contestant's by more than `tolerance` of its largest element.
    """
    contestants, load = tuple(contestants), os.getloadavg()[0]
    precisions = dict.fromkeys(contestant.precision for contestant in contestants)
    if len(precisions) != 1:
        raise Refused(f"{name}: {' and '.join(precisions)} cannot race each other; give all contestants one precision")
    works, compiling, peaks = [], [], []
    for contestant in contestants:
        stopwatch = _Stopwatch(clock)
        works.append(contestant.prepare(stopwatch.running))
        compiling.append(stopwatch.seconds)
        check_parity(name, contestants[0].name, works[0].results, contestant.name, works[-1].results, tolerance)
    peaks = [_peak(work) for work in works]
    seconds = _timed(works, blocks, warm_up, clock)
    lines = zip((c.name for c in contestants), seconds, compiling, peaks, strict=True)
    return Row(name, next(iter(precisions)), tuple(itertools.starmap(Line, lines)), load, notes)


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
    """The peak of memory in a block that is not its first."""
    _wait(work.block())
    before = memory.mark()
    _wait(work.block())
    return memory.peak_above(before)


def _timed(works: list[Work], blocks: int, warm_up: int, clock: Clock) -> list[tuple[float, ...]]:
    """Each contestant's seconds a step in each of its blocks."""
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(warm_up + blocks):
        for work, own in zip(works, seconds, strict=True):
            work.before()
            with _no_garbage_collection():
                began = clock()
                _wait(work.block())
                ended = clock()
            if turn >= warm_up:
                own.append((ended - began) / work.steps)
    return [tuple(own) for own in seconds]


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


def to_json(row: Row, where: Mapping[str, Any]) -> str:
    """One line: the row, and of the machine and the command what `where` tells."""
    first = row.lines[0].median
    lines = [
        {
            "name": line.name,
            "median_seconds": line.median,
            "quartile_seconds": line.quartiles,
            "seconds": line.seconds,
            "relative": line.median / first,
            "compile_seconds": line.compile_seconds,
            "peak_bytes": line.peak_bytes,
        }
        for line in row.lines
    ]
    said = {"row": row.name, "precision": row.precision, "load": row.load, "notes": row.notes, "contestants": lines}
    return json.dumps({**said, **where})


def to_markdown(rows: Iterable[Row], where: Mapping[str, Any]) -> str:
    """A table of all rows, what must be said of each, and the machine and the command they were seen with."""
    table = [
        "| row | contestant | ms a step, median | quartiles | relative | compiling, s | peak of a block, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for row in rows:
        for line in row.lines:
            low, high = (f"{1e3 * quartile:.3f}" for quartile in line.quartiles)
            compiling = "-" if line.compile_seconds is None else f"{line.compile_seconds:.2f}"
            peak = "-" if line.peak_bytes is None else f"{line.peak_bytes / 2**20:.0f}"
            table.append(
                f"| {row.name} | {line.name} | {1e3 * line.median:.3f} | {low} to {high} | "
                f"{line.median / row.lines[0].median:.2f} | {compiling} | {peak} |"
            )
        notes += [f"{row.name}: {note}." for note in row.notes]
    busiest = max((row.load for row in rows), default=0.0)
    told = "; ".join(f"{name} {value}" for name, value in where.items())
    return "\n\n".join(["\n".join(table), *notes, f"Seen with {told}; load before a row at most {busiest:.1f}."])


def here() -> dict[str, str]:
    """The command, the machine and the libraries that this process runs with."""
    from jaxgen.environment import facts

    known = facts()
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items() if version)
    devices = f"{len(known['devices'])} of {known['devices'][0]} ({known['backend']})"
    names = ("command", "processor", "cores", "python")
    return {name: str(known[name]) for name in names} | {"devices": devices, "packages": packages}


def report(rows: Iterable[Callable[[], Row]]) -> int:
    """Run the rows, each a JSON line on stdout as it is done, then their table. A refused row is told on stderr.

    Returns the process's exit code: 1 when a row was refused.
    """
    done, refused, where = [], 0, here()
    for measure in rows:
        try:
            done.append(measure())
        except Refused as error:
            refused = 1
            print(error, file=sys.stderr, flush=True)
        else:
            print(to_json(done[-1], where), flush=True)
    if done:
        print("\n" + to_markdown(done, where))
    return refused
