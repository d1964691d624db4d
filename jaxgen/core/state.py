"""The one train state of every family: arrays only, no functions; and its typed keys as the plain numbers of a disk."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
from flax import struct

from jaxgen.types import Extra, Key, Variables


@struct.dataclass
class TrainState:
    """All that a run carries from step to step, and all that a checkpoint holds."""

    step: jax.Array  # int32, optimiser steps taken
    params: Any
    extra: Extra
    opt_state: dict[str, Any]  # a turn's name -> its optimiser's state, over the leaves that it moves
    averages: dict[str, Any]  # an average's name -> the moving leaves' average (None where a leaf is frozen)
    key: Key  # only a rollback changes it: every draw folds the step in, so that a resumed run draws the same
    source: Any  # the source's own state
    skipped: dict[str, jax.Array]  # a turn's name -> int32, how many of its updates were skipped in a row

    @property
    def variables(self) -> Variables:
        return Variables(self.params, self.extra)


def is_key(leaf: Any) -> bool:
    """Whether an array, or its shape, holds typed PRNG keys."""
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def without_keys(tree: Any) -> Any:
    """The tree with typed keys as the integers that they are."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """Undo `without_keys`: typed keys again wherever `like`, which may be shapes, has them."""
    return jax.tree.map(lambda leaf, kind: jax.random.wrap_key_data(leaf) if is_key(kind) else leaf, tree, like)
