"""Batches of several shapes: no call holds two of them, and each has a program of its own, compiled once."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen.core.state import TrainState
from jaxgen.training.feeds import Span
from jaxgen.types import Metrics

Program = Callable[[TrainState, Any, Any], tuple[TrainState, Metrics]]


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


class ProgramByShape:
    """A program that is compiled, for each shape that batches come in, when the first of them comes."""

    def __init__(self, compiled: Callable[[TrainState, Any], Program]):
        self._compiled = compiled
        self._programs: dict[Any, Program] = {}

    def __call__(self, state: TrainState, batches: Any, count: Any) -> tuple[TrainState, Metrics]:
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batches))
        if shapes not in self._programs:
            self._programs[shapes] = self._compiled(state, batches)
        return self._programs[shapes](state, batches, count)
