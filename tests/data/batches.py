"""Batches as the tests look at them: one of a streamed source, its pictures, classes and words."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import numpy as np

from jaxgen.core.data import HasVocabulary, Streamed
from jaxgen.modalities.presentation import presents
from jaxgen.modalities.presents import Meaning


def batch_at(source: Streamed, state: Any, number: int) -> dict[str, Any]:
    """All rows of batch `number`."""
    return dict(next(iter(source.stream(state, number, np.arange(source.batch_size)))))


def made(batch: Any) -> Any:
    return batch["made"]["value"]


def given(batch: Any, name: str = "class") -> Any:
    return batch["given"][name]["value"]


def words_of(data: HasVocabulary, tokens: np.ndarray) -> str:
    """What tokens [T] of the data's made sentences say."""
    presenter = presents(data.spec().made, Meaning(data.name, codec=data.codec("made")))
    return presenter.captions({"value": np.asarray(tokens)[None]})[0]


def same(one: Any, other: Any) -> bool:
    """Whether two batches are alike to the bit, names and all."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def types(batch: Any) -> Any:
    """The shape and dtype of each array."""
    return jax.tree.map(lambda array: (array.shape, np.dtype(array.dtype)), dict(batch), is_leaf=_is_array)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array | jax.ShapeDtypeStruct)
