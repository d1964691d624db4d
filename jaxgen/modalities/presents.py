"""The contract of presenting: what each modality knows about reading, showing and measuring its examples."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxgen.core.data import Codec
from jaxgen.metrics.unmeasured import Figures
from jaxgen.reporting.artefacts import Artefact
from jaxgen.types import Batch, Modality

Arrays = Mapping[str, np.ndarray]  # a modality's arrays, [N, ...] each


@dataclass(frozen=True)
class Meaning:
    """What the data say of a modality's numbers."""

    data: str  # the name of the set, which some measures are made for
    class_names: tuple[str, ...] = ()
    codec: Codec | None = None  # of tokens
    given: tuple[tuple[str, Modality], ...] = ()  # what is given where these are made: they are measured by it
    made: Modality | None = None  # what is made where these are given


class Presents(Protocol):
    """One modality of one data set, as people meet it."""

    shown: int  # samples that a run shows of itself, for each class where classes are given

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """What a user gives: each word one example, by the decoder that training uses. UserError for what is none."""

    def captions(self, arrays: Arrays) -> list[str]:
        """A short text for each example, to stand beside what is made of it."""

    def show(self, arrays: Arrays, captions: Sequence[str] | None) -> Artefact:
        """The examples in one file, with what was given for each."""


@runtime_checkable
class OwnModality(Protocol):
    """A user's own modality, which says itself how it is presented."""

    def presents(self, meaning: Meaning) -> Presents: ...


@runtime_checkable
class Enumerable(Protocol):
    """A modality of a few values, all of which can be tried."""

    def every(self) -> dict[str, np.ndarray]:
        """All its values, [N, ...] each."""


@runtime_checkable
class Continues(Protocol):
    """A modality of which a part can be known before the rest is made."""

    def begin(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """What is known already, each word one example's; "known" says where, unless it is all of it."""


@runtime_checkable
class Measured(Protocol):
    """A modality whose samples are measured against held-out examples."""

    draws: int  # sets of samples, each as large as the held-out one
    training: int  # training examples that reference rows are made of, at most

    def measures(self, drawn: Sequence[Batch], real: Batch) -> Figures:
        """Figures of sets of samples, each drawn under what is given in the held-out examples `real`."""

    def variety(self, drawn: Batch, real: Batch) -> Figures:
        """How various samples are within a class, beside held-out examples."""

    def references(
        self, train: Batch, real: Batch, captions: tuple[Sequence[str] | None, Sequence[str] | None]
    ) -> dict[str, Figures]:
        """Figures of rows that are no models, by their names: training examples, and a simple baseline.

        `captions` tell what is given for the training and for the held-out examples.
        """


@runtime_checkable
class Compared(Protocol):
    """A modality of which an example that was made again can be compared with itself."""

    def compared(self, again: Arrays, originals: Arrays) -> Figures:
        """Figures of examples [N, ...] that a model made of what it kept of `originals`; `again` as floats."""


@runtime_checkable
class Spoils(Protocol):
    """A modality whose examples can be made worse in ways that a critic should notice."""

    def spoilt(self, arrays: Arrays) -> Mapping[str, Arrays]:
        """By a word for each way, the examples spoilt in it."""


@runtime_checkable
class Recognises(Protocol):
    """A modality for some of whose data sets a frozen classifier ships."""

    def recognised(self, arrays: Arrays) -> np.ndarray | None:
        """[N] the likeliest class of each example; None where no classifier ships for the data, or a part is unknown.
        """

    def features(self, arrays: Arrays) -> np.ndarray:
        """[N, D] float32, by the net that ships for the data; where none does, the examples themselves."""


@runtime_checkable
class OnePerLine(Protocol):
    """A modality whose samples can be written a line each."""

    def lines(self, arrays: Arrays) -> list[str]: ...


@runtime_checkable
class InWords(Protocol):
    """A modality whose examples can be said: what a reward on the host gets in place of arrays."""

    def words(self, arrays: Arrays) -> list[str]:
        """Each example as a text."""


@runtime_checkable
class InUnits(Protocol):
    """A modality whose arrays count in units of the model's: pictures in levels, which people have in pixels."""

    def units(self, arrays: Arrays) -> np.ndarray:
        """Its values as a file would hold them."""


@runtime_checkable
class WithTexts(Protocol):
    """A modality that is shown together with a text for each example."""

    def show_with(self, arrays: Arrays, texts: Sequence[str]) -> Artefact: ...


@runtime_checkable
class Playable(Protocol):
    """A modality that can be listened to where a text is made for it."""

    def recordings(self, arrays: Arrays) -> list[bytes]:
        """A wav file of each example."""


@runtime_checkable
class DrawsAttention(Protocol):
    """A modality on which can be drawn how much is attended to where."""

    def attention(self, arrays: Arrays, weights: Sequence[np.ndarray], pieces: Sequence[Sequence[str]]) -> Artefact:
        """`weights` [T, S] of each example from what was made, piece by piece, to its S places."""


@runtime_checkable
class HasLength(Protocol):
    """A modality that is read, or made, from its beginning to its end."""

    def lengths(self, arrays: Arrays) -> np.ndarray:
        """[N] of a recording its seconds, of a sentence its tokens without an end."""


@runtime_checkable
class InPieces(Protocol):
    """A modality of sequences, whose places can be told apart: what an attention map is labelled with."""

    def pieces(self, arrays: Arrays) -> list[list[str]]:
        """A short text for each place of each example."""


def counted(arrays: Arrays) -> int:
    """N of arrays [N, ...]."""
    return len(next(iter(arrays.values())))


def counted_rows(examples: Batch) -> int:
    """N of examples {"given", "made"} [N, ...]."""
    return counted(examples["made"]) if examples["made"] else 0


def request_for(examples: Batch) -> dict[str, Any]:
    """What asks for a sample for what each example gives: {"row" [N], "given"}, the rows counted from 0."""
    return {"row": np.arange(counted_rows(examples), dtype=np.int32), "given": examples["given"]}
