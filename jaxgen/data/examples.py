"""Examples by their place, read one at a time: bad ones stood in for, some of them chosen, all of them decoded."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np

from jaxgen.data.bad import BadExamples
from jaxgen.errors import UserError

Example = Mapping[str, Any]  # "given" {name: arrays} and "made" arrays, of one example


class RandomAccess(Protocol):
    """Examples by their place; sent to worker processes, so it holds paths and not open files."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> Example: ...


class BadExample(Exception):
    """An example that cannot be read: where it stands, and what is wrong with it."""

    def __init__(self, place: str, what: str):
        super().__init__(f"{place}: {what}")
        self.place, self.what = place, what


@dataclass(frozen=True)
class Chosen:
    """Some of the examples, by their places."""

    examples: RandomAccess
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> Example:
        return self.examples[int(self.places[place])]


@dataclass(frozen=True)
class Tolerant:
    """The examples with the next good one in a bad one's place, so that the others keep their order.

    Each bad one is counted once, in each process that reads.
    """

    examples: RandomAccess
    bad: BadExamples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> Example:
        for further in range(len(self)):
            try:
                return self.examples[(place + further) % len(self)]
            except BadExample as error:
                self.bad.refuse(error.place, error.what)
        raise UserError(f"none of the {len(self)} examples can be read; give others")


def decoded(examples: RandomAccess) -> dict[str, Any]:
    """All of them, [N, ...] each; every example is decoded into its own row, so that no second copy is held."""
    arrays: list[np.ndarray] = []
    for place in range(len(examples)):
        example = examples[place]
        leaves, tree = jax.tree.flatten(example)
        if place == 0:
            arrays = [np.empty((len(examples), *np.shape(leaf)), np.asarray(leaf).dtype) for leaf in leaves]
        for array, leaf in zip(arrays, leaves, strict=True):
            if np.shape(leaf) != array.shape[1:]:
                raise ValueError(f"an array of example {place} is {np.shape(leaf)}, of the first {array.shape[1:]}")
            array[place] = leaf
    return jax.tree.unflatten(tree, arrays) if arrays else {"given": {}, "made": {}}


def size_of(arrays: Example) -> int:
    """N of examples [N, ...]."""
    return len(jax.tree.leaves(arrays)[0])


def chosen_from(arrays: Example, index: Any) -> dict[str, Any]:
    """The examples of these places, a slice or a mask."""
    return jax.tree.map(lambda array: array[index], dict(arrays))
