"""How likely a run finds examples, or how real: a bounded number at a time, by one program for all of a shape."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from jaxgen.core.task import Calibratable, Critic, InWindows, Likelihood
from jaxgen.errors import UserError
from jaxgen.running.bounded import fits
from jaxgen.running.calibrating import kept
from jaxgen.running.trained import Trained
from jaxgen.training.evaluation import added, finish
from jaxgen.types import Batch, Key, Variables

_MOST_ROWS = 64  # examples that are scored at a time

Name = TypeVar("Name")
Figures = dict[str, float | str]


class Scoring:
    """Scores examples that come one by one; what is compiled for a shape is kept.

    Each example draws the noise of row 0, so that its figures do not depend on what is scored beside it (but for
    rounding, of which programs of different sizes have their own).
    """

    def __init__(self, trained: Trained):
        self._task, self._variables, self._key = trained.assembly.task, trained.variables, trained.assembly.key
        self._calibration = kept(trained) if isinstance(self._task, Calibratable) else None
        self._jitted = jax.jit(self._arrays)
        self._evaluate = jax.jit(self._task.evaluate)
        self._programs: dict[str, tuple[Callable, int]] = {}  # by the shape of an example: how, and how many at a time

    def __call__(self, examples: Iterable[tuple[Name, Batch]]) -> Iterator[tuple[Name, Figures]]:
        """(name, figures) of each (name, batch of one), in their order.

        Examples of one shape that follow each other are scored together. Where `examples` raises a UserError, what came
        before it is scored first.
        """
        waiting: list[tuple[Name, Batch]] = []
        kind, source = "", iter(examples)
        while True:
            try:
                named = next(source)
            except StopIteration:
                break
            except UserError:
                yield from self._scored(waiting, kind)
                raise
            if found := self._in_parts(named[1]):
                yield from self._scored(waiting, kind)
                waiting = []
                yield named[0], self._summed(*found)
                continue
            if waiting and (_kind(named[1]) != kind or len(waiting) == self._at_once(kind)):
                yield from self._scored(waiting, kind)
                waiting = []
            kind = _kind(named[1])
            waiting.append(named)
        yield from self._scored(waiting, kind)

    def _at_once(self, kind: str) -> int:
        return self._programs[kind][1] if kind in self._programs else _MOST_ROWS

    def _scored(self, examples: list[tuple[Name, Batch]], kind: str) -> Iterator[tuple[Name, Figures]]:
        if not examples:
            return
        batch = jax.tree.map(lambda *arrays: np.concatenate(arrays), *(batch for _, batch in examples))
        program, size = self._fitting(kind, batch)
        for first in range(0, len(examples), size):
            places = np.minimum(np.arange(first, first + size), len(examples) - 1)  # the last one fills the program
            arrays = jax.device_get(program(self._variables, _rows(batch, places), self._key))
            for row, (name, _) in enumerate(examples[first : first + size]):
                yield name, self._figures({figure: float(array[row]) for figure, array in arrays.items()})

    def _in_parts(self, batch: Batch) -> tuple[Sequence[Batch], str] | None:
        return self._task.parts(batch) if isinstance(self._task, InWindows) else None

    def _summed(self, parts: Sequence[Batch], how: str) -> Figures:
        """The figures of an example of any length, summed over its parts: one program, of one part's memory."""
        rows, sums = self._task.rows(len(parts[0]["row"])), None
        for part in parts:
            present = self._variables.replace(extra=self._variables.extra.replace(rows=rows))
            each, rows = self._evaluate(present, part, self._key)
            sums = added(sums, each)
        nats = sums["nats"]
        figures = {"log_prob_nats": -float(nats.total), "tokens": int(nats.weight)}
        return figures | finish(self._task, sums) | {"bound": how}

    def _arrays(self, variables: Variables, batch: Batch, key: Key) -> dict[str, jax.Array]:
        """[B] of each figure."""
        found = {}
        if isinstance(self._task, Likelihood):
            found["log_prob_nats"] = self._task.log_prob(variables, batch, key)
        if self._calibration is not None:
            fresh = self._task.fresh_outputs(variables, batch, key)
            found["realness"] = self._task.outputs(variables, batch) - fresh
        elif isinstance(self._task, Critic):
            found["probability_real"] = self._task.probability(variables, batch)
        return found

    def _figures(self, numbers: dict[str, float]) -> Figures:
        """A likelihood with the bound that it is, and what there is beside."""
        bound = {"bound": self._task.bound} if isinstance(self._task, Likelihood) else {}
        if self._calibration is not None:
            realness = numbers.pop("realness")
            numbers |= {"probability_real": float(self._calibration.probability(realness)), "realness": realness}
        likelihood = {name: value for name, value in numbers.items() if name == "log_prob_nats"}
        return {**likelihood, **bound, **numbers}

    def _fitting(self, kind: str, batch: Batch) -> tuple[Callable, int]:
        """The program for examples of such shapes, and how many it takes: as many as first came, or what fits."""
        if kind not in self._programs:
            size = len(batch["row"])
            while True:
                rows = _rows(batch, np.arange(size))
                program = self._jitted.lower(self._variables, rows, self._key).compile()
                if size == 1 or fits(program):
                    break
                size = -(-size // 2)
            self._programs[kind] = program, size
        return self._programs[kind]


def _kind(batch: Batch) -> str:
    return str(jax.tree.map(lambda array: (np.shape(array)[1:], np.asarray(array).dtype), batch))


def _rows(batch: Batch, places: np.ndarray) -> dict[str, Any]:
    return jax.tree.map(lambda array: np.asarray(array)[places], dict(batch))
