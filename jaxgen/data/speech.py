"""Recordings and what is told of each: words, or a class."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from jaxgen.data.bucketed_recordings import Bucket, BucketedRecordings
from jaxgen.data.buckets import check_buckets
from jaxgen.data.examples import BadExample
from jaxgen.data.recordings import HostRecordings, Kept, Recordings, ResidentRecordings
from jaxgen.data.residence import Residence
from jaxgen.data.splits import holding_out
from jaxgen.data.surroundings import Surroundings
from jaxgen.data.targets import FittedToTexts, target_arrays
from jaxgen.data.tokenizers import Characters, Tokenizer, Vocabulary, with_bytes
from jaxgen.data.wav_folders import WavFolder
from jaxgen.data.waves import Recording
from jaxgen.errors import UserError
from jaxgen.types import Batch, Framing, Key, Label, Spec, Tokens, Wave

_NAMED = 5  # recordings in a sentence
STEPS_A_SHAPE = 20  # batches of one shape that follow each other, at most


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
class Speech(FittedToTexts, Recordings):
    """Recordings of speech and their words: a wave is given, tokens are made.

    The words are as in `Pairs`: they begin with the token V, "start", and end with the last one of the vocabulary,
    "end", which the mask counts too. A folder's `transcripts.tsv` tells them, or a TFDS set's `text`. With `buckets`
    training batches are streamed and cut to the smallest that holds all of their rows, or to the longest recording;
    `surroundings` changes what is trained on at each step.
    """

    tokens: Tokenizer = Characters()
    buckets: tuple[float, ...] = ()  # seconds
    surroundings: Surroundings | None = None
    kept: Vocabulary | None = field(init=False, repr=False, compare=False, default=None)  # a vocabulary that is given

    told: ClassVar[str] = "text"

    def __post_init__(self):
        super().__post_init__()
        check_buckets(self.buckets, 0.01, "seconds above 0")
        if self.buckets and self.residence is Residence.DEVICE:
            raise UserError("data.residence=DEVICE: batches of several shapes are streamed; leave data.buckets out")

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        texts = [one.told for one, _ in self.good("train")]
        splits = ("validation", "test") if self.holds_out else ("test",)
        others = [one.told for split in splits for one, _ in self.good(split)]
        return texts, others if isinstance(self.tokens, Characters) else []

    def with_validation(self) -> "Speech":
        return holding_out(self, "vocabulary", "longest")

    @functools.cached_property
    def longest(self) -> int:
        """T: the most tokens of a recording of any split, the end counted."""
        return 1 + max(len(self.vocabulary.encode(one.told)) for one, _ in self.padded_to())

    def arrays(self, split: str) -> dict[str, Any]:
        """Waves [n, N] int16, and their words as tokens [n, T+1] with a mask [n, T]."""
        found = self._fitting(split)
        return {"given": {"wave": self.waves(found)}, "made": self.tokens_of(found, self.longest)}

    def check_told(self, recording: Recording) -> None:
        if self.kept is not None:
            try:
                self.kept.encode(recording.told)
            except UserError as error:
                raise BadExample(recording.place, f"its words are not in the run's vocabulary ({error})") from None

    def _fitting(self, split: str) -> list[Kept]:
        return [one for one in self.good(split) if self._fits(one)]

    def tokens_of(self, found: list[Kept], length: int) -> dict[str, np.ndarray]:
        """The words of recordings as tokens [n, T+1] with a mask [n, T]."""
        encoded = [self.vocabulary.encode(recording.told) for recording, _ in found]
        return target_arrays(encoded, length, self.vocabulary.size)

    def source(self) -> ResidentRecordings | HostRecordings | BucketedRecordings:
        if not self.buckets:
            return super().source()
        found, buckets, above = self._fitting("train"), [], 0
        for size in self.bucket_sizes():
            some = [one for one in found if above < len(one[1]) <= size]
            above = size
            if some:
                longest = 1 + max(len(self.vocabulary.encode(one.told)) for one, _ in some)
                buckets.append(Bucket([samples for _, samples in some], size, self.tokens_of(some, longest)))
        return BucketedRecordings(tuple(buckets), self.spec(), self.batch_size, STEPS_A_SHAPE)

    def bucket_sizes(self) -> tuple[int, ...]:
        """The samples of a batch of each shape; the last one holds every recording."""
        return tuple(sorted({min(round(edge * self.hertz), self.samples) for edge in self.buckets} | {self.samples}))

    def remarks(self, source: ResidentRecordings | HostRecordings | BucketedRecordings) -> Iterator[str]:
        """What the user should know of the training recordings."""
        if not isinstance(source, BucketedRecordings):
            yield from super().remarks(source)
            return
        lengths = list(source.lengths())
        hours = sum(lengths) / self.hertz / 3600
        yield f"data: {self.name}, {len(lengths):,} recordings, {hours:.2f} h at {self.hertz} Hz, streamed"
        sizes = ", ".join(f"{len(one.samples):,} of up to {one.size / self.hertz:g} s" for one in source.arrays)
        yield f"recordings by their length: {sizes}; {source.padding():.1%} is padding"
        yield from self.faults()

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch's waves in other surroundings, by draws of each row's own; as they are without any."""
        if self.surroundings is None:
            return batch
        wave = self.surroundings(batch["given"]["wave"], key, batch["row"], self.hertz)
        return {**batch, "given": {**batch["given"], "wave": wave}}

    def too_long(self, places: Callable[[int], int]) -> Iterator[str]:
        """Which training texts have more tokens than their recordings have places, two equal neighbours one more."""
        found, of = [], self._fitting("train")
        for recording, samples in of:
            tokens, most = self.vocabulary.encode(recording.told), places(len(samples))
            if (count := len(tokens) + int((tokens[1:] == tokens[:-1]).sum())) > most:
                found.append(f"{recording.place} ({count} tokens, {most} places)")
        if found:
            named = ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
            yield (
                f"{len(found):,} of {len(of):,} training texts are longer than CTC can tell in their recordings, and "
                f"count for nothing: {named}; a smaller network.stem.subsampling or longer tokens would fit"
            )

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
