"""Parameters changed between two runs: the contract, and blocks rearranged one by one or stacked to be scanned over."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen.core.masks import paths
from jaxgen.types import Key, Params

BLOCK = "block"  # of blocks one by one: block_0, block_1 ...
STACK = "blocks"  # of all in one


class Surgery(Protocol):
    """A frozen dataclass that changes parameters; experiment.json holds it. Traceable."""

    def __call__(self, params: Params, key: Key) -> Params:
        """The parameters after it, blocks one by one: a leaf that it drops comes from init. UserError where it cannot.
        """


@runtime_checkable
class Fitted(Protocol):
    """A surgery that has to see the new task; a leaf that it changes has another path or shape afterwards."""

    def fit(self, params: Params, task: Any, first: Params, key: Key) -> Params:
        """As a Surgery's `__call__`. Traceable.

        `first` are the leaves that the start has not, or has in another shape, as the sized task's init makes them.
        """


@runtime_checkable
class Suited(Protocol):
    """A surgery after which not every network computes what the start's did."""

    def check(self, task: Any, before: Mapping[str, Any]) -> None:
        """UserError where the new task's network would not; `before` is the start's task as its experiment.json has it.
        """


def numbered(params: Params, prefix: str) -> list[str]:
    """The names of the parts `prefix`_0, `prefix`_1 ... in the order of their numbers."""
    found = (re.fullmatch(rf"{prefix}_(\d+)", name) for name in params)
    return [match[0] for match in sorted(filter(None, found), key=lambda match: int(match[1]))]


def stacked(params: Params) -> Params:
    """Every block_0 .. block_L-1 as one `blocks`, whose arrays [L, ...] have the blocks leading. Traceable.

    Blocks that are not alike stay as they are.
    """
    if not isinstance(params, dict):
        return params
    ones = numbered(params, BLOCK)
    if not _alike([params[name] for name in ones]):
        ones = []
    rest = {name: stacked(part) for name, part in params.items() if name not in ones}
    if not ones:
        return rest
    return rest | {STACK: jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params[name] for name in ones))}


def _alike(blocks: list[Params]) -> bool:
    """Whether blocks have the same leaves of the same shapes, and so can be stacked."""
    shapes = [jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), block) for block in blocks]
    return all(shape == shapes[0] for shape in shapes)


def unstacked(params: Params) -> Params:
    """Undo `stacked`."""
    if not isinstance(params, dict):
        return params
    lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(params.get(STACK))}
    if len(lengths) != 1 or lengths == {()}:
        return {name: unstacked(part) for name, part in params.items()}
    rest = {name: unstacked(part) for name, part in params.items() if name != STACK}
    ((length,),) = lengths
    return rest | {f"block_{n}": jax.tree.map(lambda leaf, n=n: leaf[n], params[STACK]) for n in range(length)}


def arranged(params: Params, like: Params) -> Params:
    """`params` with their blocks stacked or one by one as those of `like` are, which may be shapes alone.

    The way in which most leaves have the paths that they have there: some may lack.
    """
    wanted, as_they_are = set(paths(like)), lambda params: params
    common = {
        arrange: len(wanted & set(paths(jax.eval_shape(arrange, params))))
        for arrange in (as_they_are, stacked, unstacked)
    }
    return max(common, key=common.get)(params)
