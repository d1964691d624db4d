"""More classes for a network that is given one: new rows in every kernel that reads the condition's vector."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.masks import by_path, with_leaves
from jaxgen.errors import UserError
from jaxgen.types import Key, Params

TABLE = "condition/kernel"  # how the path of a kernel [D, F] ends that reads the condition's vector [D] alone


def has_condition(params: Params) -> bool:
    """Whether a network reads a condition by a kernel of its own."""
    return any(path.endswith(TABLE) for path in by_path(params))


def refuse_condition(given: Collection, already: bool) -> None:
    """UserError where a start cannot be given a new condition: the data give nothing, or it has one `already`."""
    if not given:
        raise UserError(
            "start.surgery: NewCondition is for data that give a class or a prompt, and these give nothing; leave it "
            "out, or choose other data (such as data.given=true)"
        )
    if already:
        raise UserError(
            "start.surgery: NewCondition is for a start that is given nothing, and this one is given one already; "
            "leave it out, or take GrowClasses for more classes"
        )


@dataclass(frozen=True)
class GrowClasses:
    """More classes of what a start is given: a row for each in the kernels [D, F] that read the condition's vector.

    They are those that have more rows in the new task: behind them columns stay as many. The vector's numbers may
    stand behind others there. A run finds the start's classes among those of its data by their names, or where these
    are not known by their numbers, unless `places` says where each one stands. `behind` counts the vector's numbers
    behind the classes, of which the first is the flag of "any class"; a run finds it by itself.

    What is computed of old classes, and of any class, does not change. A new class has the mean of the old ones' rows.
    Surgeries that widen other layers stand before this one.
    """

    places: tuple[int, ...] = ()
    behind: int = 1

    def fit(self, params: Params, task: Any, first: Params, key: Key) -> Params:
        if not self.places:
            raise UserError(
                "start.surgery: GrowClasses does not know the start's classes; give `places`, where each one stands"
            )
        wider = by_path(first)
        grown = {
            path: self._rows(jnp.asarray(leaf), len(wider[path]))
            for path, leaf in by_path(params).items()
            if path in wider and _more_rows(leaf, wider[path])
        }
        if not grown:
            raise UserError(
                "start.surgery: GrowClasses finds no layer of the start that reads a class and has more of them here; "
                "leave it out, or start from a run that is given a class"
            )
        return with_leaves(params, grown)

    def _rows(self, kernel: jax.Array, count: int) -> jax.Array:
        """[D, F] as [count, F]."""
        old, more = len(self.places), count - len(kernel)
        before = len(kernel) - self.behind - old
        places = np.array(self.places)
        if before < 0 or len(set(self.places)) < old or places.min() < 0 or places.max() >= old + more:
            raise UserError(
                f"start.surgery: places names {self.places}; give another place below {old + more} for each class of "
                "the start"
            )
        ahead, classes, behind = jnp.split(kernel, [before, before + old])
        new = jnp.tile(classes.mean(axis=0), (old + more, 1)).at[places].set(classes)
        return jnp.concatenate([ahead, new, behind])


def _more_rows(leaf: jax.Array, wider: jax.Array) -> bool:
    return leaf.ndim == 2 == wider.ndim and leaf.shape[1] == wider.shape[1] and len(leaf) < len(wider)
