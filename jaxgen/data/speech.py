"""Recordings and what is told of each: words, or a class."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from jaxgen.data.copies import copy_with
from jaxgen.data.examples import BadExample
from jaxgen.data.recordings import Kept, Recordings
from jaxgen.data.splits import holding_out
from jaxgen.data.tokenizers import Characters, Tokenizer, Vocabulary, with_bytes
from jaxgen.data.wav_folders import WavFolder
from jaxgen.data.waves import Recording
from jaxgen.errors import UserError
from jaxgen.types import Framing, Label, Spec, Tokens, Wave


@dataclass(frozen=True)
class Sounds(Recordings):
    """Recordings of `classes` kinds: a wave is made, given its class.

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

    def check_told(self, recording: Recording) -> None:
        if not (recording.told.isdecimal() and int(recording.told) < self.kinds):
            what = f"its label is {recording.told!r}, and there are the {self.kinds} classes 0 to {self.kinds - 1}"
            raise BadExample(recording.place, what)

    def arrays(self, split: str) -> dict[str, Any]:
        """Waves [n, N] int16 and their classes [n] of "train", "validation", "test" or an expression."""
        found = self.good(split)
        label = np.asarray([int(one.told) for one, _ in found], np.int32)
        return {"given": {"class": {"value": label}}, "made": self.waves(found)}

    def spec(self) -> Spec:
        return Spec(Wave(self.samples, self.hertz), (("class", Label(self.kinds)),))

    def class_names(self) -> dict[str, tuple[str, ...]]:
        return {"class": tuple(map(str, range(self.kinds)))}


@dataclass(frozen=True)
class Speech(Recordings):
    """Recordings of speech and their words: a wave is given, tokens are made.

    The words are as in `Pairs`: they begin with the token V, "start", and end with the last one of the vocabulary,
    "end", which the mask counts too. A folder's `transcripts.tsv` tells them, or a TFDS set's `text`.
    """

    tokens: Tokenizer = Characters()
    kept: Vocabulary | None = field(init=False, repr=False, compare=False, default=None)  # a vocabulary that is given

    told: ClassVar[str] = "text"

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Fitted to the words of the training split; `with_vocabulary` puts a kept one in its place."""
        return self.tokens.fit(*self._fitted_to()) if self.kept is None else self.kept

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        texts = [one.told for one, _ in self.good("train")]
        splits = ("validation", "test") if self.holds_out else ("test",)
        others = [one.told for split in splits for one, _ in self.good(split)]
        return texts, others if isinstance(self.tokens, Characters) else []

    def text_digest(self) -> str:
        """SHA-256 of what the vocabulary is fitted to."""
        return hashlib.sha256("\n".join(itertools.chain(*self._fitted_to())).encode()).hexdigest()

    def vocabulary_document(self) -> dict[str, Any]:
        return self.vocabulary.document()

    def with_vocabulary(self, document: dict[str, Any]) -> "Speech":
        """These data with the vocabulary that `vocabulary_document` told, whatever the words have become."""
        return copy_with(self, "vocabulary", "longest", kept=self.tokens.read(document))

    def with_validation(self) -> "Speech":
        return holding_out(self, "vocabulary", "longest")

    def codec(self, name: str) -> Vocabulary:
        return self.vocabulary

    @functools.cached_property
    def longest(self) -> int:
        """T: the most tokens of a recording of any split, the end counted."""
        return 1 + max(len(self.vocabulary.encode(one.told)) for one, _ in self.padded_to())

    def arrays(self, split: str) -> dict[str, Any]:
        """Waves [n, N] int16, and their words as tokens [n, T+1] with a mask [n, T]."""
        found = [one for one in self.good(split) if self._fits(one)]
        end = self.vocabulary.size
        tokens, mask = (
            np.full((len(found), self.longest + 1), end, np.int32),
            np.zeros((len(found), self.longest), bool),
        )
        tokens[:, 0] = end + 1
        for row, (recording, _) in enumerate(found):
            said = self.vocabulary.encode(recording.told)
            tokens[row, 1 : len(said) + 1] = said
            mask[row, : len(said) + 1] = True
        return {"given": {"wave": self.waves(found)}, "made": {"value": tokens, "mask": mask}}

    def _fits(self, one: Kept) -> bool:
        count = len(self.vocabulary.encode(one[0].told)) + 1
        if count > self.longest:  # of a split that is neither the training nor the test one
            self.bad.refuse(one[0].place, f"its words are {count} tokens, more than the {self.longest} of all others")
        return count <= self.longest

    def spec(self) -> Spec:
        made = Tokens(self.longest, self.vocabulary.size + 1, self.vocabulary.unit, Framing.TARGET)
        return Spec(made, (("wave", Wave(self.samples, self.hertz)),))

    def evaluation(self, split: str) -> dict[str, Any]:
        return with_bytes(super().evaluation(split), self.vocabulary)
