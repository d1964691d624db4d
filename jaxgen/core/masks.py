"""Which leaves a player owns: masks from paths, and the board split by them."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxgen.errors import UserError, nearest
from jaxgen.types import Params

Mask = Any  # a tree of bools shaped like the parameters
Selection = Callable[[Params], Mask]


def path_of(keys: tuple) -> str:
    """A leaf's place as one string: `generator/block_0/kernel`."""
    return "/".join(str(key.key if isinstance(key, jax.tree_util.DictKey) else key).strip(".[]'") for key in keys)


def paths(params: Params) -> list[str]:
    """The paths of all leaves, in the tree's order."""
    return list(by_path(params))


def by_path(tree: Any) -> dict[str, Any]:
    """A leaf's path -> the leaf, in the tree's order."""
    return {path_of(keys): leaf for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def with_leaves(tree: Any, leaves: Mapping[str, Any]) -> Any:
    """The tree with the leaves of these paths in place of its own. Traceable."""
    return jax.tree_util.tree_map_with_path(lambda keys, leaf: leaves.get(path_of(keys), leaf), tree)


def size_of(tree: Any) -> int:
    """The numbers in all leaves of a tree, or of its shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@dataclass(frozen=True)
class Everything:
    """Every leaf moves."""

    def __call__(self, params: Params) -> Mask:
        return jax.tree.map(lambda _: True, params)


@dataclass(frozen=True)
class Matching:
    """The leaves whose path holds a match of a regular expression (`head|lora`); one that matches none is an error."""

    pattern: str

    def __post_init__(self):
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UserError(f"the pattern {self.pattern!r} is no regular expression: {error}") from None

    def matches(self, path: str) -> bool:
        return bool(re.search(self.pattern, path))

    def __call__(self, params: Params) -> Mask:
        mask = jax.tree_util.tree_map_with_path(lambda keys, _: self.matches(path_of(keys)), params)
        if not any(jax.tree.leaves(mask)):
            raise UserError(f"the pattern {self.pattern!r} matches no parameter{nearest(self.pattern, paths(params))}")
        return mask


@dataclass(frozen=True)
class Both:
    """The leaves that both masks let move: what a turn owns, restricted to what a fine-tuning moves."""

    first: Selection
    second: Selection

    def __call__(self, params: Params) -> Mask:
        return jax.tree.map(lambda a, b: a and b, self.first(params), self.second(params))


def split(tree: Any, mask: Mask) -> tuple[Any, Any]:
    """(moving, frozen): the tree twice, each with None where the other has its leaf.

    None is an empty subtree to JAX: gradients, optimisers, clips and averages of the moving half never see the frozen
    one. Splitting before `grad` is what keeps frozen leaves bit-identical and their backward pass uncomputed.
    """
    moving = jax.tree.map(lambda leaf, selected: leaf if selected else None, tree, mask)
    frozen = jax.tree.map(lambda leaf, selected: None if selected else leaf, tree, mask)
    return moving, frozen


def join(moving: Any, frozen: Any) -> Any:
    """Undo `split`."""
    return jax.tree.map(lambda a, b: b if a is None else a, moving, frozen, is_leaf=lambda leaf: leaf is None)


def union(masks: list[Mask]) -> Mask:
    """The leaves that any of the masks lets move."""
    return jax.tree.map(lambda *selected: any(selected), *masks)
