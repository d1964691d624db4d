"""How parameters lie over a mesh's `fsdp` and `tensor` axes: rules of (path pattern, axes), each family's own."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxgen.core.masks import paths
from jaxgen.errors import UserError

Axes = tuple[str | None, ...]

COLUMN = ("fsdp", "tensor")  # of a kernel [in, out]: its outputs are cut, and the next kernel's inputs with them
ROW = ("tensor", "fsdp")  # of a kernel whose inputs come cut: its outputs are summed over the devices
WHOLE = ()


@dataclass(frozen=True)
class Rule:
    """The leaves whose path holds a match of `pattern` have their last dimensions cut along `axes`.

    A dimension that its axis does not divide stays whole. Dimensions before the last ones (a convolution's height and
    width, a stack's layers) are never cut.
    """

    pattern: str
    axes: Axes


# For networks of blocks of two layers, the first of which widens (`Dense_0`) and the second sums up again (`Dense_1`).
DENSE_BLOCKS = (
    Rule(r"Dense_0/kernel$", COLUMN),
    Rule(r"Dense_0/bias$", ("tensor",)),
    Rule(r"Dense_1/kernel$|embedding$", ROW),
    Rule(r"kernel$", COLUMN),
    Rule(r"(bias|scale)$", WHOLE),
)


@runtime_checkable
class LaidOut(Protocol):
    """A task that says how its parameters lie.

    Linen modules must read them (`Module.param`), which gathers those that are cut over fsdp; where a loss reads a leaf
    itself, `flax.linen.meta.unbox` does so first.
    """

    def layout(self) -> tuple[Rule, ...]:
        """Rules that cover every parameter; the first that matches counts."""


def rule_of(rules: Sequence[Rule], path: str) -> Rule | None:
    return next((rule for rule in rules if re.search(rule.pattern, path)), None)


def check_layout(rules: Sequence[Rule], params: Any) -> None:
    """UserError names the first parameter that no rule covers; `params` may be shapes alone."""
    for path in paths(params):
        if rule_of(rules, path) is None:
            raise UserError(f"no rule of the task's layout covers the parameter {path}; add one to its `layout`")


def cut(axes: Axes, shape: tuple[int, ...], sizes: Mapping[str, int]) -> Axes:
    """The axis of each dimension of `shape` on a mesh of such sizes; None where it stays whole."""
    aligned = (None,) * max(0, len(shape) - len(axes)) + axes[max(0, len(axes) - len(shape)) :]
    return tuple(
        axis if axis is not None and sizes[axis] > 1 and size % sizes[axis] == 0 else None
        for axis, size in zip(aligned, shape, strict=True)
    )
