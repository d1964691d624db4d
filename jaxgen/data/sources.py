"""Sources over arrays: examples in a new order every epoch, on the device or the host, and a text read as streams."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgen.data.examples import chosen_from, size_of
from jaxgen.data.order import EpochOrder
from jaxgen.data.tokenizers import Vocabulary, with_bytes
from jaxgen.errors import UserError
from jaxgen.ops.permutation import epoch_positions
from jaxgen.types import Batch, Key, Spec, Variables

S = TypeVar("S")


@struct.dataclass
class ResidentExamples:
    """Independent examples in device memory, gathered in a new order every epoch: no work on the host at all."""

    arrays: Mapping[str, Any]  # "given" and "made", each array [N, ...]
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def next(self, state: Key, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Key]:
        index = epoch_positions(state, number, rows, self.batch_size, size_of(self.arrays))
        return jax.tree.map(lambda array: jnp.asarray(array)[index], dict(self.arrays)) | {"row": rows}, state


@struct.dataclass
class HostExamples:
    """The same examples in the same order, kept in host memory and streamed: for sets larger than the device."""

    arrays: Mapping[str, Any]
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def stream(self, state: Key, first: int, rows: np.ndarray) -> Iterator[Batch]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows`."""
        order = EpochOrder.of(state, self.batch_size, size_of(self.arrays))
        row = rows.astype(np.int32)
        for number in itertools.count(first):
            index = order.positions(number, rows)
            yield chosen_from(self.arrays, index) | {"row": row}


@struct.dataclass
class ResidentStream:
    """One long text cut into `batch_size` rows that are read side by side, `length` tokens a batch.

    Row b of a batch goes on where row b of the batch before it ended, so that a recurrent state can be carried; `fresh`
    is true where a row starts from its beginning. The tokens that fill no whole batch at a row's end are not read.
    """

    tokens: jax.Array  # [N]
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    @property
    def length(self) -> int:
        return self.spec.made.length

    @property
    def batches(self) -> int:
        """How many batches one pass over the text makes."""
        return (len(self.tokens) - 1) // self.batch_size // self.length

    def init(self, key: Key, moving: Any) -> None:
        return None

    def next(self, state: None, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, None]:
        column = (number % self.batches).astype(jnp.int32)
        start = rows * (self.batches * self.length) + column * self.length
        tokens = jnp.asarray(self.tokens)[start[:, None] + jnp.arange(self.length + 1, dtype=jnp.int32)]
        fresh = jnp.broadcast_to(column == 0, rows.shape)
        return {"given": {}, "made": {"value": tokens.astype(jnp.int32)}, "fresh": fresh, "row": rows}, state


@struct.dataclass
class HostStream:
    """The same batches of a text that lies in host memory, or in a file that is mapped there, streamed."""

    tokens: np.ndarray  # [N]
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    @property
    def batches(self) -> int:
        """How many batches one pass over the text makes."""
        return (len(self.tokens) - 1) // self.batch_size // self.spec.made.length

    def init(self, key: Key, moving: Any) -> None:
        return None

    def stream(self, state: None, first: int, rows: np.ndarray) -> Iterator[Batch]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows`."""
        length, row = self.spec.made.length, rows.astype(np.int32)
        for number in itertools.count(first):
            column = number % self.batches
            start = rows.astype(np.int64) * (self.batches * length) + column * length
            tokens = self.tokens[start[:, None] + np.arange(length + 1)].astype(np.int32)
            fresh = np.full(len(rows), column == 0)
            yield {"given": {}, "made": {"value": tokens}, "fresh": fresh, "row": row}


def padded_batches(
    arrays: Mapping[str, Any], batch_size: int, batches: int | None = None, first: int = 0
) -> dict[str, Any]:
    """All examples once, in their order: each array as [N/B, B, ...], and `weight` 0 on the rows that fill the end.

    `batches` asks for so many, where a part is filled up to the size of others; `first` is the number of its first row.
    """
    size = size_of(arrays)
    count = -(-size // batch_size) if batches is None else batches
    index = np.minimum(np.arange(count * batch_size), size - 1)
    padded = jax.tree.map(lambda array: array[index].reshape(count, batch_size, *array.shape[1:]), dict(arrays))
    weight = (np.arange(count * batch_size) < size).astype(np.float32).reshape(count, batch_size)
    row = (first + np.arange(count * batch_size, dtype=np.int32)).reshape(count, batch_size)
    return padded | {"weight": weight, "row": row}


def stream_batches(tokens: np.ndarray, batch_size: int, spec: Spec) -> dict[str, Any]:
    """A whole text as [n, B, T+1] tokens in stream order, for one pass of evaluation."""
    source = ResidentStream(tokens, spec, batch_size)
    rows = jnp.arange(batch_size, dtype=jnp.int32)
    every = jax.vmap(lambda number: source.next(None, None, number, rows)[0])(
        jnp.arange(source.batches, dtype=jnp.int32)
    )
    return jax.tree.map(np.asarray, every) | {"weight": np.ones((source.batches, batch_size), np.float32)}


def stream_source(kind: type[S], tokens: np.ndarray, batch_size: int, spec: Spec, title: str) -> S:
    """A source of a stream's tokens; UserError, which calls the text by its `title`, where they fill no batch."""
    source = kind(tokens, spec, batch_size)
    if source.batches < 1:
        raise UserError(
            f"{title} has {len(source.tokens)} {spec.made.unit.value}s, too few for data.batch_size={batch_size} rows "
            f"of data.length={spec.made.length}; lower one of them"
        )
    return source


def stream_evaluation(
    tokens: np.ndarray, batch_size: int, spec: Spec, vocabulary: Vocabulary, title: str
) -> dict[str, Any]:
    """A split as a stream [n, B, T+1] of as many rows as leave about a hundredth unread; UserError where it fills none.
    """
    rows = max(1, min(batch_size, len(tokens) // (100 * spec.made.length)))
    batches = stream_batches(tokens, 1 << (rows.bit_length() - 1), spec)
    if not len(batches["weight"]):
        raise UserError(f"{title} is shorter than data.length={spec.made.length}; lower that")
    return with_bytes(batches, vocabulary)
