"""Parts of a set by TFDS's expressions: `train`, `train[:90%]`, `validation+test`; for sets that TFDS does not hold."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.errors import UserError

_HELD_OUT = 10  # one in so many is for the test, where nothing says which are


def rows_of(expression: str, sizes: Mapping[str, int], title: str) -> list[tuple[str, int, int]]:
    """The (split, first, end) that an expression names, given each split's size; UserError when it names none."""
    if sizes.get(expression):
        return [(expression, 0, sizes[expression])]
    import tensorflow_datasets as tfds

    infos = {name: tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0) for name, size in sizes.items()}
    try:
        parts = tfds.core.ReadInstruction.from_spec(expression).to_absolute(infos)
    except (ValueError, KeyError, AssertionError) as error:
        raise no_such_split(title, expression, sizes, error) from None
    ends = [sizes[part.splitname] if part.to is None else part.to for part in parts]
    places = [(part.splitname, part.from_ or 0, end) for part, end in zip(parts, ends, strict=True)]
    if not any(end > first for _, first, end in places):
        raise UserError(f"the split {expression!r} of {title} is empty; name another")
    return places


def no_such_split(title: str, expression: str, known: Sequence[str], error: Exception) -> UserError:
    """What is said of an expression that names no part of a set."""
    names = [part.split("[")[0].strip() for part in expression.split("+")]
    if unknown := next((name for name in names if name not in known), None):
        return UserError(f"{title} has no split {unknown!r}, only {', '.join(known)}; name one of them")
    line = str(error).strip().split("\n")[0]
    return UserError(f"the split {expression!r} of {title} cannot be read ({line}); write it as train[:90%]+test")


def cut(arrays: Mapping[str, Mapping[str, np.ndarray]], expression: str, title: str) -> dict[str, np.ndarray]:
    """The examples that an expression names, of splits that are arrays."""
    sizes = {name: len(next(iter(split.values()))) for name, split in arrays.items()}
    places = rows_of(expression, sizes, title)
    names = next(iter(arrays.values()))
    return {
        name: np.concatenate([arrays[split][name][first:end] for split, first, end in places])
        if len(places) > 1
        else arrays[places[0][0]][name][places[0][1] : places[0][2]]
        for name in names
    }


def held_out(everything: Sequence[Any]) -> dict[str, list[Any]]:
    """All but one in ten as `train`, these as `test`; by one fixed permutation, in their order."""
    order = np.random.default_rng(0).permutation(len(everything))
    test = set(order[: max(1, len(everything) // _HELD_OUT)].tolist())
    return {
        split: [one for place, one in enumerate(everything) if (place in test) == (split == "test")]
        for split in ("train", "test")
    }
