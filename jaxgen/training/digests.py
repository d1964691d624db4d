"""What is saved of a state: its leaves as plain arrays, each told by its type and the SHA-256 of its bytes."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
from typing import Any

import jax
import numpy as np

from jaxgen.core.masks import path_of
from jaxgen.core.state import TrainState, without_keys


def plain_shapes(state: TrainState) -> TrainState:
    """The shapes of what is saved of a state, which may itself be shapes."""
    return jax.eval_shape(without_keys, state)


def leaves_of(tree: Any) -> dict[str, dict[str, str]]:
    """A leaf's path -> its type, and the SHA-256 of its bytes, where this process has all of them."""
    leaves = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaves[path_of(keys)] = {"type": type_of(leaf)}
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            flat = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
            leaves[path_of(keys)]["sha256"] = hashlib.sha256(flat).hexdigest()
    return leaves


def type_of(leaf: Any) -> str:
    """`float32[3,4]`: how a leaf's type is told and kept."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def digest(content: dict[str, Any]) -> str:
    """Of JSON: the same for what was saved and what is read back."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
