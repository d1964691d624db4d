"""Evaluation and sampling of any number of rows in bounded memory, with progress, and stopped within seconds."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.core.data import InParts
from jaxgen.core.mean import Mean
from jaxgen.core.task import Sampled
from jaxgen.errors import UserError, nearest
from jaxgen.reporting.terminal import Work
from jaxgen.running.assembly import Assembly
from jaxgen.running.estimate import device_bytes
from jaxgen.training.evaluation import Sample, added, finish, make_evaluation, make_sampler
from jaxgen.training.processes import gathered
from jaxgen.types import Batch, Key, Parts, Variables

_SHARE = 0.25  # of a device's memory: what a part may take beside the model
_MOST_ROWS = 1024  # of a part of samples
_SPARE = 4  # rows for each one asked for: more of them would take longer than another program is worth


class Stopped(Exception):
    """A stop was asked for in the middle of long work, which is left undone."""


def never() -> bool:
    return False


class Evaluation:
    """Sums over a split under any variables; what is compiled and what fits the devices is kept.

    `examples`: the first so many alone. A batch that would not fit the memory is taken in halves of halves. `weighed`
    is how many examples the newest sums are over.
    """

    def __init__(self, assembly: Assembly, split: str, examples: int | None = None):
        self._assembly, self._split, self._examples = assembly, split, examples
        self.weighed = 0
        self._program: Callable | None = None
        self._halvings = 1  # parts that each batch is taken in

    def __call__(
        self, variables: Variables, stopped: Callable[[], bool] = never, work: Callable[..., Work] = Work
    ) -> dict[str, Mean]:
        """Stopped where that is asked for, between two batches."""
        key, rows, total = jax.random.fold_in(self._assembly.key, 3), None, None
        size, whole, self.weighed = self._assembly.game.batch_size, self.count(), 0
        with work(whole, f"evaluating {self._split}") as progress:
            for batches in self._parts():
                count, in_batch = jax.tree.leaves(batches)[0].shape[:2]
                rows = self._assembly.task.rows(in_batch) if total is None else rows
                self._fit(variables, rows, batches, key)
                for number in range(count * self._halvings):
                    if stopped():
                        raise Stopped
                    place = np.array(divmod(number, self._halvings), np.int32)
                    rows, sums = self._program(variables, rows, batches, place, key)
                    total = added(total, sums)
                    progress.done(min(whole, progress.count + max(1, size // self._halvings)))
                self.weighed += int(np.count_nonzero(jax.device_get(gathered(batches["weight"]))))
        return total

    def figures(self, variables: Variables, *how: Any) -> dict[str, float]:
        return finish(self._assembly.task, self(variables, *how))

    def names(self) -> list[str]:
        """What its figures will be called, told without evaluating anything."""
        task, key = self._assembly.task, self._assembly.key
        batches = next(self._parts())

        def sums(key: Key, parts: Parts) -> Any:
            batch = jax.tree.map(lambda array: array[0], batches)
            variables = task.init(key)
            rows = task.rows(len(batch["row"]))
            present = variables.replace(extra=variables.extra.replace(rows=rows), parts=parts)
            return task.evaluate(present, batch, key)[0]

        shapes = jax.eval_shape(sums, key, self._assembly.part_shapes)
        return list(task.finish(jax.tree.map(lambda shape: np.ones(shape.shape, shape.dtype), shapes)))

    def count(self) -> int:
        """The examples that are evaluated, those that fill the last batch among them."""
        if self._in_parts:
            found = len(self._in_parts) * int(np.prod(np.shape(self._in_parts[0]["weight"])))
        else:
            found = int(np.prod(self._held["weight"].shape))
        return found if self._examples is None else min(found, self._examples)

    @functools.cached_property
    def _in_parts(self) -> Sequence[Batch]:
        data = self._assembly.data
        return data.evaluation_parts(self._split) if isinstance(data, InParts) else ()

    @functools.cached_property
    def _held(self) -> Batch:
        assembly = self._assembly
        return assembly.devices.put_evaluation(_first(assembly.data.evaluation(self._split), self._examples))

    def _parts(self) -> Iterator[Batch]:
        """Batches [n, B, ...] on the devices, all at once where they fit."""
        if not self._in_parts:
            yield self._held
            return
        left = self._examples
        for part in self._in_parts:
            if left is not None and left <= 0:
                return
            yield self._assembly.devices.put_evaluation(_first(part, left))
            left = None if left is None else left - int(np.prod(np.shape(part["weight"])))

    def _fit(self, variables: Variables, rows: Any, batches: Batch, key: Key) -> None:
        """Compile the program, for parts of a batch where a whole one takes too much memory."""
        if self._program is not None:
            return
        size, devices = jax.tree.leaves(batches)[0].shape[1], self._assembly.devices
        while True:
            evaluate = make_evaluation(self._assembly.task, self._halvings)
            program = evaluate.lower(variables, rows, batches, np.zeros(2, np.int32), key).compile()
            half = size // (2 * self._halvings)
            divides = size % (2 * self._halvings) == 0 and half % devices.parts == 0
            if rows is not None or not divides or fits(program):
                self._program = program
                return
            self._halvings *= 2


def _first(batches: Batch, examples: int | None) -> Batch:
    """Batches [n, B, ...] of which the first examples alone weigh, and no more batches than they need."""
    if examples is None:
        return batches
    size = np.shape(batches["weight"])[1]
    count = -(-examples // size)
    first = jax.tree.map(lambda array: np.asarray(array)[:count], dict(batches))
    places = np.arange(np.prod(first["weight"].shape)).reshape(first["weight"].shape)
    return {**first, "weight": np.where(places < examples, first["weight"], 0).astype(np.float32)}


class Sampling:
    """Samples of any request, a bounded number of rows at a time; one program for all requests of a kind."""

    def __init__(self, assembly: Assembly, sample: Sample | None = None):
        """`sample`: what draws, where it is not the task's own."""
        self._assembly = assembly
        self._jitted = make_sampler(assembly.sample if sample is None else sample)
        self._programs: dict[str, dict[int, tuple[Callable, int]]] = {}  # by the shapes, and the rows asked for

    def __call__(
        self,
        variables: Variables,
        request: Mapping[str, Any],
        key: Key,
        stopped: Callable[[], bool] = never,
        work: Callable[..., Work] = Work,
    ) -> dict[str, Any]:
        """{"given", "made"} [N, ...] on the host, for request["row"] [N]. Stopped where that is asked for."""
        request, count, parts = with_knobs(self._assembly.task, request), len(request["row"]), []
        program, size = self._fitting(variables, request, key)
        with work(count, "sampling") as progress:
            for first in range(0, count, size):
                if stopped():
                    raise Stopped
                drawn = jax.device_get(gathered(program(variables, self._rows(request, first, size), key)))
                parts.append(jax.tree.map(lambda array, n=min(size, count - first): array[:n], drawn))
                progress.done(min(count, first + size))
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def compile(self, variables: Variables, request: Mapping[str, Any], key: Key) -> None:
        """Compile the program for such requests, so that its time stands apart."""
        self._fitting(variables, with_knobs(self._assembly.task, request), key)

    def _fitting(self, variables: Variables, request: Mapping[str, Any], key: Key) -> tuple[Callable, int]:
        """The program for such a request, and the rows that it takes at a time."""
        size = min(len(request["row"]), _MOST_ROWS)
        known = self._programs.setdefault(str(jax.tree.map(lambda array: np.shape(array)[1:], request)), {})
        usable = [asked for asked in known if size <= asked <= _SPARE * size]
        if usable:
            return known[min(usable)]
        asked = size
        while True:
            program = self._jitted.lower(variables, self._rows(request, 0, size), key).compile()
            if size == 1 or fits(program):
                break
            size = -(-size // 2)
        known[asked] = program, size
        return known[asked]

    def _rows(self, request: Mapping[str, Any], first: int, size: int) -> dict[str, Any]:
        """Rows `first` to `first + size` of a request; the last part repeats its last row, which is dropped."""
        places = np.minimum(np.arange(first, first + size), len(request["row"]) - 1)
        own = {name: part for name, part in request.items() if name != "knobs"}
        rows = jax.tree.map(lambda array: np.asarray(array)[places], own)
        return self._assembly.devices.put_request(rows) | {"knobs": request["knobs"]}


def with_knobs(task: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """A request with the sampler's numbers as arguments, for a task that has a sampler."""
    knobs = task.sampler.knobs() if isinstance(task, Sampled) else {}
    return {"knobs": {name: np.float32(value) for name, value in knobs.items()}, **request}


def fits(program: jax.stages.Compiled) -> bool:
    """Whether what a program needs beside its arguments is a small part of the memory; true where XLA does not say."""
    memory, there_is = program.memory_analysis(), device_bytes()
    return memory is None or there_is is None or memory.temp_size_in_bytes <= _SHARE * there_is


def refuse_other_metric(metric: str, names: Sequence[str], field: str) -> None:
    """UserError where an experiment chooses by a figure that there is not."""
    if metric not in names:
        raise UserError(f"{field} is {metric!r}, which is no figure here{nearest(metric, names)}")
