"""Programs that look at a model without training it: one for evaluation, one for samples; each compiles once.

Both work through their rows in parts, so that a split or a request of any size takes bounded memory. Each row draws
from its own number, so that the results are the same whatever the parts.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.core.mean import Mean
from jaxgen.core.task import Task
from jaxgen.training.processes import gathered
from jaxgen.types import Batch, Key, Variables

Sample = Callable[[Variables, Batch, Key], Batch]


def make_evaluation(task: Task, parts: int = 1) -> jax.stages.Wrapped:
    """(variables, row state, batches [n, B, ...], place [2], key) -> (row state, sums) of one part of a batch.

    Part p of batch n, at place (n, p), holds the rows p, p + `parts`, ...: cut so, a batch that lies over devices stays
    where it lies.
    """

    def evaluate(variables: Variables, rows: Any, batches: Batch, place: jax.Array, key: Key) -> tuple[Any, Any]:
        batch = jax.tree.map(lambda array: array[place[0]], batches)
        if parts > 1:
            batch = jax.tree.map(lambda array: array.reshape(-1, parts, *array.shape[1:])[:, place[1]], batch)
        present = variables.replace(extra=variables.extra.replace(rows=rows))
        sums, rows = task.evaluate(present, batch, key)
        return rows, sums

    return jax.jit(evaluate)


def make_sampler(sample: Sample) -> jax.stages.Wrapped:
    """(variables, request, key) -> samples."""
    return jax.jit(lambda variables, request, key: sample(variables, request, key))


def added(total: dict[str, Mean] | None, sums: Mapping[str, Mean]) -> dict[str, Mean]:
    """Sums in float64 on the host, which adding thousands of batches rounds no more."""
    more = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), jax.device_get(gathered(dict(sums))))
    return more if total is None else jax.tree.map(np.add, total, more)


def finish(task: Task, sums: Mapping[str, Mean]) -> dict[str, float]:
    """The task's named figures as plain floats."""
    return {name: float(value) for name, value in jax.device_get(task.finish(sums)).items()}


def on_one_device(variables: Variables) -> Variables:
    """A copy that every device holds, taken from the first one: a lone program would run once on each otherwise."""
    if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(variables)):
        return variables
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, variables)
