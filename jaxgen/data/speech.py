"""Recordings and what is told of each: words, or a class."""
# SPDX-License-Identifier: Apache-2.0

import copy
import functools
import hashlib
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxgen.data.examples import BadExample
from jaxgen.data.recordings import Kept, Recordings
from jaxgen.data.tokenizers import Characters, Tokens, Vocabulary
from jaxgen.data.wav_folders import WavFolder
from jaxgen.data.waves import Recording
from jaxgen.errors import UserError
from jaxgen.types import Spec


@dataclass(frozen=True)
class Sounds(Recordings):
    """Recordings of `classes` kinds, each told by its number: `wave`, `wave_length` and `label`.

    The second column of a folder's `transcripts.tsv` is the class; a TFDS set (`spoken_digit`) says itself how many
    there are.
    """

    name: str = "spoken_digit"
    classes: int = 10

    told: ClassVar[str] = "label"

    def __post_init__(self):
        super().__post_init__()
        if self.classes < 1:
            raise UserError(f"data.classes is {self.classes}; give how many kinds of sounds there are")

    @functools.cached_property
    def kinds(self) -> int:
        return self.classes if isinstance(self.listed, WavFolder) else self.listed.classes

    def check(self, recording: Recording) -> None:
        if not (recording.told.isdecimal() and int(recording.told) < self.kinds):
            what = f"its label is {recording.told!r}, and there are the {self.kinds} classes 0 to {self.kinds - 1}"
            raise BadExample(recording.place, what)

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """`wave` [n, N] int16, `wave_length` and `label` [n] int32 of "train", "test" or an expression."""
        found = self.good(split)
        return self.waves(found) | {"label": np.asarray([int(one.told) for one, _ in found], np.int32)}

    def spec(self) -> Spec:
        return Spec(wave=self.samples, rate=self.hertz, classes=self.kinds)


@dataclass(frozen=True)
class Speech(Recordings):
    """Recordings of speech and their words: `wave`, `wave_length`, `tokens` and `mask`.

    The words are as in `Pairs`: they begin with the token `vocabulary`, "start", and end with the last one of the
    vocabulary, "end", which the mask counts too. A folder's `transcripts.tsv` tells them, or a TFDS set's `text`.
    """

    tokens: Tokens = Characters()

    told: ClassVar[str] = "text"

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Fitted to the words of the training split; `with_vocabulary` puts a kept one in its place."""
        return self.tokens.fit(*self._fitted_to())

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        texts, others = ([one.told for one, _ in self.good(split)] for split in ("train", "test"))
        return texts, others if isinstance(self.tokens, Characters) else []

    def text_digest(self) -> str:
        """SHA-256 of what the vocabulary is fitted to."""
        return hashlib.sha256("\n".join(itertools.chain(*self._fitted_to())).encode()).hexdigest()

    def vocabulary_document(self) -> dict[str, Any]:
        return self.vocabulary.document()

    def with_vocabulary(self, document: dict[str, Any]) -> "Speech":
        """These data with the vocabulary that `vocabulary_document` told, whatever the words have become."""
        given = copy.copy(self)
        vars(given)["vocabulary"] = self.tokens.read(document)
        vars(given).pop("longest", None)
        return given

    def encode(self, text: str) -> np.ndarray:
        """[T] int32 tokens, without their start and end; UserError names what the vocabulary lacks."""
        return self.vocabulary.encode(text)

    def decode(self, tokens: np.ndarray) -> str:
        """The words up to their end, from tokens with "start" or without."""
        end = self.vocabulary.size
        said = [token for token in np.asarray(tokens).tolist() if token != end + 1]
        return self.vocabulary.decode(np.asarray(said[: said.index(end) if end in said else None], np.int32))

    @functools.cached_property
    def longest(self) -> int:
        """T: the most tokens of a recording of both splits, the end counted."""
        return 1 + max(len(self.encode(one.told)) for split in ("train", "test") for one, _ in self.good(split))

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """`wave` [n, N] int16, `wave_length` [n] int32, `tokens` [n, T+1] int32 and `mask` [n, T]."""
        found = [one for one in self.good(split) if self._fits(one)]
        end = self.vocabulary.size
        tokens, mask = (
            np.full((len(found), self.longest + 1), end, np.int32),
            np.zeros((len(found), self.longest), bool),
        )
        tokens[:, 0] = end + 1
        for row, (recording, _) in enumerate(found):
            said = self.encode(recording.told)
            tokens[row, 1 : len(said) + 1] = said
            mask[row, : len(said) + 1] = True
        return self.waves(found) | {"tokens": tokens, "mask": mask}

    def _fits(self, one: Kept) -> bool:
        count = len(self.encode(one[0].told)) + 1
        if count > self.longest:  # of a split that is neither the training nor the test one
            self.bad.refuse(one[0].place, f"its words are {count} tokens, more than the {self.longest} of all others")
        return count <= self.longest

    def spec(self) -> Spec:
        known = self.vocabulary
        told = {"unit": known.unit, "token_bytes": (*known.token_bytes, 0) if known.token_bytes else ()}
        sizes = {"length": self.longest, "vocabulary": known.size + 1, "padded": True}
        return Spec(wave=self.samples, rate=self.hertz, **sizes, **told)
