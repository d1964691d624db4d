"""Frozen nets that ship: their weights as safetensors files, the names that measures carry, and batches of them."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from jaxgen.types import Key, Params


def encode(params: Params, **others: np.ndarray) -> bytes:
    """The weights, and what else a net needs by its name, as a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.asarray(array) for name, array in flatten_dict(params, sep="/").items()} | others)


def decoded(kind: str, weights: bytes) -> tuple[str, dict[str, np.ndarray]]:
    """A net's name, "KIND-1a2b" with the first four hex digits of the weights' SHA-256, and its arrays by their paths.

    SafetensorError where the bytes are no safetensors file's.
    """
    from safetensors.numpy import load

    return f"{kind}-{hashlib.sha256(weights).hexdigest()[:4]}", load(weights)


def in_parts(function: Callable[[np.ndarray], jax.Array], rows: np.ndarray, size: int) -> np.ndarray:
    """The function of at most `size` rows at a time, which bounds the memory."""
    return np.concatenate([np.asarray(function(rows[start : start + size])) for start in range(0, len(rows), size)])


def shuffled(key: Key, examples: int, batch: int, steps: int) -> Iterator[np.ndarray]:
    """[batch] places of so many examples for each of `steps` batches: each epoch whole ones, in an order of its own."""
    batches = max(1, examples // batch)
    for number in range(steps):
        epoch, place = divmod(number, batches)
        if place == 0:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), examples))
        yield order[place * batch : (place + 1) * batch]
