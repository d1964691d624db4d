"""Groups of parameters within one optimiser: which leaves decay, whose rate is scaled, what of a stack is one block.

A stack, the blocks of a network that is scanned over (core/surgery.py), holds the leaves of L blocks as one [L, ...].
Its leaves are judged, and where it matters moved, as those of L single blocks are: both forms get the same updates.
"""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import optax

from jaxgen.core.masks import Mask, Matching, join, path_of, split
from jaxgen.core.surgery import STACK
from jaxgen.errors import UserError
from jaxgen.types import Params

# Looked up by their row or added as they are: embeddings, learned positions, and what a class or a vector is taken by.
TABLES = r"(^|/)(embedding|position|condition/kernel)$"
_VECTORS = r"(^|/)(bias|scale)$"  # of any shape: attention of several heads has biases [heads, size]


class DecayOn(enum.Enum):
    """Which leaves weight decay moves: the matrices and convolutions (no biases, norms, embeddings), or all."""

    MATRICES = "matrices"
    ALL = "all"


@dataclass(frozen=True)
class Group:
    """The leaves whose path holds a match of `pattern`, with a rate and a decay of their own.

    Of several groups that match a leaf the first counts. One that matches none of an optimiser's leaves is an error.
    """

    pattern: str
    rate_scale: float = 1.0  # of the optimiser's rate
    weight_decay: float | None = None  # of every leaf that matches, of whatever shape; none: as without the group

    def __post_init__(self):
        Matching(self.pattern)  # UserError if it is no regular expression
        if not self.rate_scale > 0:
            raise UserError(
                f"the group {self.pattern!r} has rate_scale {self.rate_scale}; give a number above 0, and freeze "
                "leaves by the experiment's `trainable`"
            )
        if self.weight_decay is not None and not self.weight_decay >= 0:
            raise UserError(f"the group {self.pattern!r} has weight_decay {self.weight_decay}; give 0 or more, or none")


def stack_of(path: str, leaf: Any) -> int:
    """How many blocks a leaf holds; 0 where it is of none or of a single one."""
    return leaf.shape[0] if STACK in path.split("/") and leaf.ndim else 0


def rank(path: str, leaf: Any) -> int:
    """The leaf's axes, a stack's leading one not counted."""
    return leaf.ndim - bool(stack_of(path, leaf))


def is_matrix(path: str, leaf: Any) -> bool:
    """Whether a leaf maps features to features: a kernel, of a convolution too; no bias, scale or table."""
    return rank(path, leaf) >= 2 and not re.search(f"{TABLES}|{_VECTORS}", path)


def each(of: Callable[[str, Any], Any]) -> Callable[[Params], Any]:
    """The tree of what `of(path, leaf)` says of each leaf of its parameters."""
    return lambda params: jax.tree_util.tree_map_with_path(lambda keys, leaf: of(path_of(keys), leaf), params)


def decayed(weight_decay: float, on: DecayOn, groups: Sequence[Group]) -> optax.GradientTransformation:
    """Adds each leaf's own decay times the leaf to its update."""

    def decay(path: str, leaf: Any) -> float:
        group = group_of(groups, path)
        if group is not None and group.weight_decay is not None:
            return group.weight_decay
        return weight_decay if on is DecayOn.ALL or is_matrix(path, leaf) else 0.0

    values = {weight_decay, *(group.weight_decay for group in groups)} - {0.0, None}
    parts = [optax.add_decayed_weights(value, _mask(decay, value)) for value in sorted(values)]
    return optax.chain(*parts) if parts else optax.identity()


def scaled(groups: Sequence[Group]) -> optax.GradientTransformation:
    """Multiplies each leaf's update by its group's rate scale."""

    def scale(path: str, leaf: Any) -> float:
        group = group_of(groups, path)
        return 1.0 if group is None else group.rate_scale

    values = {group.rate_scale for group in groups} - {1.0}
    parts = [optax.masked(optax.scale(value), _mask(scale, value)) for value in sorted(values)]
    return optax.chain(*parts) if parts else optax.identity()


def group_of(groups: Sequence[Group], path: str) -> Group | None:
    return next((group for group in groups if re.search(group.pattern, path)), None)


def _mask(of: Callable[[str, Any], float], value: float) -> Callable[[Params], Mask]:
    return each(lambda path, leaf: of(path, leaf) == value)


def checked(rule: optax.GradientTransformation, groups: Sequence[Group]) -> optax.GradientTransformation:
    """`rule`, whose `init` refuses groups that match none of its leaves."""

    def init(params: Params) -> Any:
        for group in groups:
            Matching(group.pattern)(params)
        return rule.init(params)

    return optax.GradientTransformation(init, rule.update)


def block_by_block(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """`rule` where it looks at a leaf as a whole (its norm, its two longest axes): each block of a stack alone.

    Its state holds a part for the leaves outside stacks and one for the stacks of each number of blocks.
    """

    def init(params: Params) -> dict[str, Any]:
        parts = _by_stack(params)
        return {_name(count): _over(count, rule.init)(part) for count, part in parts.items()}

    def update(updates: Any, state: dict[str, Any], params: Params) -> tuple[Any, dict[str, Any]]:
        parts, of_params = _by_stack(updates), _by_stack(params)
        moved = {
            count: _over(count, rule.update)(part, state[_name(count)], of_params[count])
            for count, part in parts.items()
        }
        joined = functools.reduce(join, [part for part, _ in moved.values()])
        return joined, {_name(count): after for count, (_, after) in moved.items()}

    return optax.GradientTransformation(init, update)


def _by_stack(tree: Any) -> dict[int, Any]:
    """The leaves of stacks of each number of blocks, those of none (0) first; None where a leaf is in another part."""
    counts = each(stack_of)(tree)
    found = sorted({0, *jax.tree.leaves(counts)})
    return {count: split(tree, jax.tree.map(lambda one, count=count: one == count, counts))[0] for count in found}


def _over(count: int, function: Callable) -> Callable:
    return jax.vmap(function) if count else function


def _name(count: int) -> str:
    return f"stack_{count}" if count else "single"
