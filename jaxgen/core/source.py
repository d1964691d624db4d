"""Where batches come from: traced inside the program, streamed from the host, or made between two steps.

A batch is a pure function of (the source's state, its number), so that a resumed run needs no replay. A traced source
is a pytree: its arrays are arguments of the compiled program, not constants baked into it, and no part of a checkpoint.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.types import Batch, Key, Spec, Variables


@runtime_checkable
class Traced(Protocol):
    """A source that is called inside the compiled program."""

    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Any:
        """The source's state before the first batch; `moving` are the leaves that the run moves, as they are then."""

    def next(self, state: Any, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Any]:
        """Batch `number` at the global row numbers `rows` [b], and the state after it."""


@runtime_checkable
class Streamed(Protocol):
    """A source on the host whose batches are fetched ahead of the steps that eat them."""

    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Any: ...

    def stream(self, state: Any, first: int, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows` [b].

        `state` does not change, and a batch depends on it and on its number alone.
        """


@runtime_checkable
class Augmenting(Protocol):
    """Data whose examples are changed a little each time that they are trained on, whatever source they come from."""

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch changed by draws of each row's own; traced into the step."""


@runtime_checkable
class InParts(Protocol):
    """Data whose splits may be too large to be held at once."""

    def evaluation_parts(self, split: str) -> Sequence[Mapping[str, np.ndarray]]:
        """Every example of the split once, in parts [n, B, ...] of equal shape; none where all may be held at once."""


@runtime_checkable
class Between(Protocol):
    """A source on the host that needs the parameters as they are now: a rollout with a reward that runs on the host."""

    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Any: ...

    def make(self, state: Any, variables: Variables, number: int) -> tuple[Mapping[str, np.ndarray], Any]:
        """Batch `number` under the present variables, and the state after it."""
