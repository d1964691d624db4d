"""Parts of a set by TFDS's expressions: `train`, `train[:90%]`, `validation+test`; for sets that TFDS does not hold."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from jaxgen.data.copies import copy_with
from jaxgen.data.examples import chosen_from, size_of
from jaxgen.errors import UserError

D = TypeVar("D")
E = TypeVar("E")
_TENTHS = 10
_VALIDATION, _TEST = 0, 1  # the tenths of a set that are held out where nothing says which examples are


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


def part_of(arrays: Mapping[str, Any], expression: str, title: str) -> dict[str, Any]:
    """The examples that an expression names, of splits that are arrays [N, ...] each."""
    places = rows_of(expression, {name: size_of(split) for name, split in arrays.items()}, title)
    parts = [chosen_from(arrays[split], slice(first, end)) for split, first, end in places]
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *each: np.concatenate(each), *parts)


def tenth_of(example: str | bytes) -> int:
    """0 .. 9: a tenth that an example, by its name or content, belongs to; by a hash, whatever else there is."""
    return _hash(example) % _TENTHS


def _hash(example: str | bytes) -> int:
    """64 bits of SHA-256."""
    content = example.encode("utf-8", "surrogatepass") if isinstance(example, str) else example
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def in_validation(example: str | bytes) -> bool:
    """Whether an example, by its name or content, is one of the tenth of a training split that is set aside.

    By a hash, so that examples which come or go move no other one.
    """
    return tenth_of(example) == _VALIDATION


def holding_out(data: D, *fitted: str) -> D:
    """A copy of data whose `holds_out` is true, without the cached attributes `fitted`; itself where it is already."""
    if data.holds_out:
        return data
    return copy_with(data, *fitted, holds_out=True)


def held_out(everything: Sequence[E], name: Callable[[E], str]) -> dict[str, list[E]]:
    """One example in ten as `test`, by a hash of its name, all others as `train`: what comes or goes moves no other.

    Of few examples, where that leaves one of the splits empty, the example of the lowest hash is the test (or the one
    of the highest is trained on), so that none that was trained on becomes the test when others come. A single example
    is both, in one list.
    """
    if len(everything) < 2:
        whole = list(everything)
        return {"train": whole, "test": whole}
    test = {place for place, one in enumerate(everything) if tenth_of(name(one)) == _TEST}
    ranked = sorted(range(len(everything)), key=lambda place: _hash(name(everything[place])))
    if not test:
        test = {ranked[0]}
    elif len(test) == len(everything):
        test.remove(ranked[-1])
    return {
        split: [one for place, one in enumerate(everything) if (place in test) == (split == "test")]
        for split in ("train", "test")
    }
