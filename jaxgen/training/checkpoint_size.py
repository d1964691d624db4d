"""What a checkpoint will take on disk, from the shapes of its state alone."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax

from jaxgen.core.masks import path_of
from jaxgen.core.state import TrainState
from jaxgen.training.digests import plain_shapes, type_of

# Beside its bytes each leaf has, as Orbax 0.12.8 writes them, a line of metadata, a line of our record with its
# SHA-256, and a place in the index of TensorStore's database, whose size differs from save to save (150 to 530 bytes).
_METADATA, _METADATA_OF_KEY, _RECORD, _INDEX = 115, 32, 101, 340


def checkpoint_bytes(state: TrainState) -> int:
    """The size of a checkpoint's folder; `state` may be shapes alone."""
    leaves = jax.tree_util.tree_leaves_with_path(plain_shapes(state))
    return sum(leaf.size * leaf.dtype.itemsize + _beside(keys, leaf) for keys, leaf in leaves)


def _beside(keys: tuple, leaf: Any) -> int:
    path = path_of(keys)
    metadata = _METADATA + _METADATA_OF_KEY * len(keys) + 2 * len(path)
    return metadata + _RECORD + len(path) + len(type_of(leaf)) + _INDEX
