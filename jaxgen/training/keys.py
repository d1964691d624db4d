"""Typed PRNG keys where plain numbers are needed: on a disk, or on the way to another process."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax


def is_key(leaf: Any) -> bool:
    """Whether an array, or its shape, holds typed PRNG keys."""
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def without_keys(tree: Any) -> Any:
    """The tree with typed keys as the integers that they are."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


def with_keys(tree: Any, like: Any) -> Any:
    """Undo `without_keys`: typed keys again wherever `like`, which may be shapes, has them."""
    return jax.tree.map(lambda leaf, kind: jax.random.wrap_key_data(leaf) if is_key(kind) else leaf, tree, like)
