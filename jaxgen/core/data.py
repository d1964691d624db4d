"""What an experiment's data are: their contract, and where batches come from.

Batches are traced inside the program, streamed from the host, or made between two steps. A batch is a pure function of
(the source's state, its number), so that a resumed run needs no replay. A traced source is a pytree: its arrays are
arguments of the compiled program, not constants baked into it, and no part of a checkpoint.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.types import Batch, Key, Spec, Variables


@runtime_checkable
class Traced(Protocol):
    """A source that is called inside the compiled program."""

    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Any:
        """The source's state before the first batch; `moving` are the leaves that the run trains, as they are then."""

    def next(self, state: Any, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Any]:
        """Batch `number` at the global row numbers `rows` [b], and the state after it."""


@runtime_checkable
class Streamed(Protocol):
    """A source on the host whose batches are fetched ahead of the steps that consume them."""

    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Any: ...

    def stream(self, state: Any, first: int, rows: np.ndarray) -> Iterator[Batch]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows` [b].

        `state` does not change, and a batch depends on it and on its number alone.
        """


@runtime_checkable
class Between(Protocol):
    """A source on the host that needs the parameters as they are now: a rollout with a reward that runs on the host."""

    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Any: ...

    def make(self, state: Any, variables: Variables, number: int, rows: Any) -> tuple[Batch, Any]:
        """Batch `number` under the present variables at the global row numbers `rows` [b], and the state after it.

        Those are all rows of the batch, or a process's own where several train one run.
        """


Source = Traced | Streamed | Between


@runtime_checkable
class Shaped(Protocol):
    """A source between two steps that tells its batches' shapes without making one."""

    def shapes(self, state: Any, variables: Variables) -> Batch:
        """Of a whole batch; `state` and `variables` may be shapes."""


@runtime_checkable
class Data(Protocol):
    """An experiment's `data`: a frozen dataclass that names a set and says how it is read."""

    name: str
    batch_size: int

    def spec(self) -> Spec:
        """What is given and what is made; may look at the set."""

    def source(self) -> Source:
        """The batches that are trained on."""

    def evaluation(self, split: str) -> Batch:
        """Every example of "train", "validation" or "test" once, in batches: each array [n, B, ...], with "weight"."""


@runtime_checkable
class Augmenting(Protocol):
    """Data whose examples are changed a little each time that they are trained on, whatever source they come from."""

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch changed by draws of each row's own; traced into the step."""


@runtime_checkable
class InParts(Protocol):
    """Data whose splits may be too large to be held at once."""

    def evaluation_parts(self, split: str) -> Sequence[Batch]:
        """Every example of the split once, in parts [n, B, ...] of equal shape; none where all may be held at once."""


@runtime_checkable
class Finite(Protocol):
    """Data whose splits are sets of examples, of which some can be looked at."""

    def first(self, split: str, count: int) -> Batch:
        """The first examples of a split, as many as there are up to `count`, as "given" and "made" [N, ...]."""


@runtime_checkable
class Spread(Protocol):
    """Data whose splits stand in an order, so that the first examples of one are not like all of it."""

    def spread(self, split: str, count: int) -> dict[str, Any]:
        """`count` examples of a split that stand for all of it; all where there are no more."""


def first_or_spread(data: Finite, split: str, count: int) -> dict[str, Any]:
    """At most `count` examples that stand for a split, and none but these are decoded."""
    return data.spread(split, count) if isinstance(data, Spread) else data.first(split, count)


@runtime_checkable
class Named(Protocol):
    """Data that know names for their classes."""

    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the classes of each given label, by the name of what is given."""


@runtime_checkable
class Labelled(Protocol):
    """Data that may know more of their examples than they give."""

    def labelled(self) -> "Data":
        """The same examples in the same order, with all that is known of them given."""


class Codec(Protocol):
    """Text to tokens and back."""

    @property
    def size(self) -> int:
        """How many tokens it knows."""

    def encode(self, text: str) -> np.ndarray:
        """[N] int32 tokens; UserError names what the vocabulary lacks."""

    def decode(self, tokens: np.ndarray) -> str: ...


@runtime_checkable
class HasVocabulary(Protocol):
    """Data whose tokens are fitted to a text."""

    def codec(self, name: str) -> Codec:
        """The vocabulary of the given tokens of that name, or of "made"."""

    def vocabulary_document(self) -> dict[str, Any]:
        """What the run keeps, as JSON; made from the text where it was not given."""

    def text_digest(self) -> str:
        """SHA-256 of the text that the vocabulary is fitted to."""

    def with_vocabulary(self, document: dict[str, Any]) -> "HasVocabulary":
        """These data with a kept vocabulary; UserError when the document is none of theirs."""


@runtime_checkable
class Begins(Protocol):
    """Data whose source's first state can be had without reading them."""

    def begin(self, key: Key, moving: Any) -> Any:
        """The source's state before the first batch."""


@runtime_checkable
class Validated(Protocol):
    """Data that can set examples aside for `best` and early stopping, which must not look at the test split."""

    def with_validation(self) -> "Data":
        """These data with a "validation" split: their own, or a tenth of the training split, chosen by a hash."""


@runtime_checkable
class Located(Protocol):
    """Data that can tell whether others, which lie elsewhere, are the same."""

    places: ClassVar[tuple[str, ...]]  # its fields that say where the examples lie

    def content(self) -> str:
        """SHA-256 of what the examples are, wherever they lie: of a text itself, of files' names and sizes."""


@runtime_checkable
class Remarking(Protocol):
    """Data that have something to say."""

    def remarks(self, source: Any) -> Iterator[str]:
        """What the user should know of what `source` has read."""


@runtime_checkable
class Transcribed(Protocol):
    """Recordings and their words, which some models can tell only so many of in a time."""

    def too_long(self, places: Callable[[int], int]) -> Iterator[str]:
        """Which words of the training split are more than the tokens that fit the `places` of so many samples."""


class Progressing(Protocol):
    """Shows how far some work is."""

    def __enter__(self) -> "Progressing": ...

    def __exit__(self, *error: object) -> None: ...

    def done(self, count: int) -> None:
        """`count` of the total are done."""


Working = Callable[[int, str], Progressing]  # of the total and what is done


@runtime_checkable
class Understood(Protocol):
    """Data of the user's own making, of which something had to be inferred."""

    def understood(self) -> Iterator[str]:
        """How the data were understood, before an example of them is read: classes, splits, what is left out."""


@runtime_checkable
class Checked(Protocol):
    """Data with examples that a run reads late, in which a bad one is to be found before it begins."""

    def check(self, known: Mapping[str, Any], work: Working, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Reads what a run will read, and returns what the run is to remember of it, as JSON; empty: nothing.

        A "remark" in it is told to the user. `known` is what was remembered before. UserError names the bad examples
        where they are too many.
        """


@runtime_checkable
class Prepared(Protocol):
    """Data whose examples are made on this machine before they can be read, which takes long once."""

    def prepare(self, split: str, work: Working, stopped: Callable[[], bool]) -> None:
        """Makes those of a split that are not kept yet; where it is stopped not all of them."""


@runtime_checkable
class KeepsSpec(Protocol):
    """Data that choose sizes by their examples, and keep to those that a run has trained on."""

    def with_spec(self, spec: Spec) -> "KeepsSpec":
        """These data in the sizes of a kept spec, whatever the examples have become."""
