"""A batch's gradient in parts: the memory of one part's activations, one sum of gradients, the whole batch's result."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux
from jaxgen.types import Batch

Gradient = Callable[[Batch, Any], tuple[Any, tuple[Mean, Aux]]]  # (batch, row state) -> (gradient, (mean, aux))


def accumulated(gradient: Gradient, parts: int, loops: bool, batch: Batch, rows: Any) -> tuple[Any, tuple[Mean, Aux]]:
    """What `gradient(batch, rows)` gives, from `parts` parts of the batch, one after another.

    Totals, weights, metrics and statistics are sums, so that the parts' sums are the whole batch's, ragged weights and
    all; every row keeps its number and with it its draws. Part a holds the rows a, a + parts, ...: cut so, a batch that
    lies over devices stays where it lies. Without `loops` the parts are unrolled (see `program.py`).
    """
    if parts == 1:
        return gradient(batch, rows)
    cut_batch, cut_rows = _cut(batch, parts), _cut(rows, parts)

    def one(sums: Any, part: jax.Array) -> tuple[Any, Any]:
        taken, (mean, aux) = gradient(*jax.tree.map(lambda array: array[:, part], (cut_batch, cut_rows)))
        more = taken, mean, aux.metrics, aux.statistics
        return jax.tree.map(jnp.add, sums, more), aux.rows

    taken, (mean, aux) = jax.eval_shape(gradient, *jax.tree.map(lambda array: array[:, 0], (cut_batch, cut_rows)))
    shapes = taken, mean, aux.metrics, aux.statistics
    nothing = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    sums, after = jax.lax.scan(one, nothing, jnp.arange(parts), unroll=1 if loops else True)
    taken, mean, metrics, statistics = sums
    return taken, (mean, Aux(metrics, statistics, jax.tree.map(_joined, after)))


def _cut(tree: Any, parts: int) -> Any:
    """Arrays [B, ...] as [B / parts, parts, ...]."""
    return jax.tree.map(lambda array: jnp.reshape(array, (-1, parts, *array.shape[1:])), tree)


def _joined(array: jax.Array) -> jax.Array:
    """[parts, B / parts, ...] as [B, ...] in the batch's own order."""
    return jnp.moveaxis(array, 0, 1).reshape(-1, *array.shape[2:])
