"""Programs that look at a model without training it: one for evaluation, one for samples; each compiles once."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.mean import Mean
from jaxgen.core.task import Task
from jaxgen.training.processes import gathered
from jaxgen.types import Batch, Key, Variables


def make_evaluation(task: Task) -> Callable[[Variables, Batch, Key], dict[str, Mean]]:
    """A program over a whole split: batches [n, B, ...] in their order, the row state carried from each to the next."""

    @jax.jit
    def evaluate(variables: Variables, batches: Batch, key: Key) -> dict[str, Mean]:
        count, batch_size = batches["weight"].shape[:2]
        return _scanned(task, variables, task.rows(batch_size), jnp.arange(count), batches, key)[1]

    return evaluate


def make_evaluation_of_parts(task: Task) -> Callable[[Variables, Iterable[Batch], Key], dict[str, Mean]]:
    """The same over a split that comes in parts of equal shape, of which the devices hold one at a time."""

    @jax.jit
    def evaluate(variables: Variables, rows: Any, first: jax.Array, batches: Batch, key: Key) -> tuple[Any, Any]:
        return _scanned(task, variables, rows, first + jnp.arange(len(batches["weight"])), batches, key)

    def evaluate_all(variables: Variables, parts: Iterable[Batch], key: Key) -> dict[str, Mean]:
        first, rows, total = 0, None, None
        for batches in parts:
            count, batch_size = batches["weight"].shape[:2]
            rows = task.rows(batch_size) if total is None else rows
            rows, sums = evaluate(variables, rows, np.int32(first), batches, key)
            sums = jax.device_get(gathered(sums))  # waited for, and the part let go, before the next is brought
            del batches
            total = sums if total is None else jax.tree.map(np.add, total, sums)
            first += count
        return total

    return evaluate_all


def _scanned(
    task: Task, variables: Variables, rows: Any, numbers: jax.Array, batches: Batch, key: Key
) -> tuple[Any, dict[str, Mean]]:
    """The row state after the batches of these numbers, and their sums."""

    def one(rows: Any, numbered: tuple[jax.Array, Batch]) -> tuple[Any, dict[str, Mean]]:
        number, batch = numbered
        present = variables.replace(extra=variables.extra.replace(rows=rows))
        sums, rows = task.evaluate(present, batch, jax.random.fold_in(key, number))
        return rows, sums

    rows, sums = jax.lax.scan(one, rows, (numbers, batches))
    return rows, jax.tree.map(lambda array: array.sum(axis=0), sums)


def finish(task: Task, sums: Mapping[str, Mean]) -> dict[str, float]:
    """The task's named figures as plain floats."""
    return {name: float(value) for name, value in task.finish(jax.device_get(gathered(dict(sums)))).items()}


def on_one_device(variables: Variables) -> Variables:
    """A copy that every device holds, taken from the first one: a lone program would run once on each otherwise."""
    if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(variables)):
        return variables
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, variables)


def make_sampler(
    sample: Callable[[Variables, int, Batch, Key], Batch], count: int
) -> Callable[[Variables, Batch, Key], Batch]:
    """A program that draws `count` examples under what is given."""
    return jax.jit(lambda variables, given, key: sample(variables, count, given, key))
