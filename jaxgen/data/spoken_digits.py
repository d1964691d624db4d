"""Real spoken digits, and strings of them that are joined from one speaker's recordings: words are made of waves."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxgen.data.bucketed_recordings import wave_arrays
from jaxgen.data.buckets import key_words
from jaxgen.data.prepared_audio import PreparedAudio
from jaxgen.data.recordings import Kept
from jaxgen.data.speech import STEPS_A_SHAPE, Speech
from jaxgen.data.splits import holding_out
from jaxgen.data.tokenizers import Tokenizer, Words
from jaxgen.data.waves import Recording
from jaxgen.errors import UserError, nearest
from jaxgen.types import Batch, Key, Spec

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FIXED = 20_262  # the seed of the strings that evaluation hears
_TRIED = 2_000  # strings, drawn to know how often each bucket is one's own
_MOST_TRIED = 100_000  # strings, drawn until one has the length asked for


@dataclass(frozen=True)
class Joined:
    """How recordings become a string: how many, with pauses between them; rejected where it lasts too long."""

    recordings: tuple[tuple[Kept, ...], ...]  # a speaker's each
    counts: tuple[int, int]
    pauses: tuple[int, int]  # samples
    most: int  # samples

    def drawn(self, draw: np.random.Generator, above: int = 0, most: int | None = None) -> Kept:
        """A string of more than `above` and at most `most` samples; its name is those of its recordings.

        UserError where strings are too long.
        """
        for _ in range(_MOST_TRIED):
            speaker = self.recordings[draw.integers(len(self.recordings))]
            count = int(draw.integers(self.counts[0], self.counts[1] + 1))
            places = draw.integers(len(speaker), size=count)
            silent = draw.integers(self.pauses[0], self.pauses[1] + 1, size=count - 1)
            total = sum(len(speaker[place][1]) for place in places) + int(silent.sum())
            if above < total <= (self.most if most is None else most):
                return _joined([speaker[place] for place in places], silent)
        raise UserError(
            f"data.joined is {self.counts}, and strings of so many recordings do not fit data.seconds; give fewer "
            "digits, shorter pauses, or more seconds"
        )


def _joined(some: Sequence[Kept], pauses: Sequence[int]) -> Kept:
    """Recordings one after another with silence of so many samples between them."""
    parts = [some[0][1]]
    for (_, samples), pause in zip(some[1:], pauses, strict=True):
        parts += [np.zeros(pause, np.int16), samples]
    told = " ".join(recording.told for recording, _ in some)
    name = "+".join(recording.name for recording, _ in some)
    first = some[0][0]
    return Recording(f"{first.place} and what follows", told, first.rate, first.samples, name), np.concatenate(parts)


@dataclass(frozen=True)
class JoinedSource:
    """A streamed source of strings that are drawn anew for every batch, by its number and the row's.

    Some batches in a row are of one bucket, which is drawn as often as a string falls into it.
    """

    joined: Joined
    data: "SpokenDigits"
    sizes: tuple[int, ...]  # samples: the upper ends of the buckets
    spec: Spec
    batch_size: int

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def stream(self, state: Key, first: int, rows: np.ndarray) -> Iterator[Batch]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows`."""
        words = key_words(state)
        return (self._batch(words, number, rows) for number in itertools.count(first))

    def same_shape_until(self, state: Key, number: int) -> int:
        """The first batch after `number` that may be of another shape."""
        return (number // STEPS_A_SHAPE + 1) * STEPS_A_SHAPE

    def _batch(self, words: tuple[int, ...], number: int, rows: np.ndarray) -> dict[str, Any]:
        run = np.random.default_rng((*words, 0, number // STEPS_A_SHAPE))
        bucket = int(run.choice(len(self.sizes), p=self._shares))
        edges = (0, *self.sizes)[bucket : bucket + 2]
        found = [self.joined.drawn(np.random.default_rng((*words, 1, number, row)), *edges) for row in rows.tolist()]
        made = self.data.tokens_of(found, self.data.longest)
        given = {"wave": wave_arrays([samples for _, samples in found], self.sizes[bucket])}
        return {"given": given, "made": made, "row": rows.astype(np.int32)}

    @functools.cached_property
    def _shares(self) -> np.ndarray:
        draw = np.random.default_rng(_FIXED)
        lengths = [len(self.joined.drawn(draw)[1]) for _ in range(_TRIED)]
        counts = np.histogram(lengths, (0, *(size + 0.5 for size in self.sizes)))[0]
        return counts / counts.sum()


@dataclass(frozen=True)
class _OneSpeakerOut(PreparedAudio):
    """All recordings but one speaker's are trained on, and those are the test."""

    speaker: str = ""

    @functools.cached_property
    def splits(self) -> dict[str, list[Any]]:
        every = sorted(itertools.chain(*super().splits.values()))
        names = {one: self.speaker_of(one) for one in every}
        if self.speaker not in names.values():
            known = nearest(self.speaker, names.values())
            raise UserError(f"data.speaker is {self.speaker!r}, who speaks nothing here{known}")
        return {
            "train": [one for one in every if names[one] != self.speaker],
            "test": [one for one in every if names[one] == self.speaker],
        }


@dataclass(frozen=True)
class SpokenDigits(Speech):
    """TFDS's `spoken_digit`: six speakers, told in words; of one digit each, or joined to strings of digits.

    `joined` says of how many: training strings are drawn anew for every batch, `strings` are drawn once of each other
    split's own recordings (its name "digits" is the test's recordings one by one). The split is the official one, or
    `speaker` is the test and all others are trained on.
    """

    name: str = "spoken_digit"
    tokens: Tokenizer = Words()
    buckets: tuple[float, ...] = (2.0, 3.0, 4.0)
    seconds: float = 6.0
    joined: tuple[int, int] | None = (1, 7)
    pause: tuple[float, float] = (0.02, 0.3)  # seconds between two recordings
    strings: int = 300
    speaker: str | None = None

    told: ClassVar[str] = "label"

    def __post_init__(self):
        super().__post_init__()
        if self.joined is not None and not 1 <= self.joined[0] <= self.joined[1]:
            raise UserError(f"data.joined is {self.joined}; give the fewest digits of a string and the most, or none")
        if not 0 <= self.pause[0] <= self.pause[1] or self.strings < 1:
            raise UserError(
                f"data.pause is {self.pause} and data.strings {self.strings}; give the shortest pause and the longest, "
                "and at least one string"
            )

    @functools.cached_property
    def listed(self) -> PreparedAudio:
        found = PreparedAudio.find(self.name, self.data_dir, self.told)
        if self.speaker is None:
            return found
        return _OneSpeakerOut(found.name, found.folder, found.told, self.speaker)

    def check_told(self, recording: Recording) -> None:
        """A digit is one of ten."""

    def _kept(self, one: Any, most: int | None) -> Kept | None:
        kept = super()._kept(one, most)
        if kept is None:
            return None
        self._speakers[kept[0].name] = self.listed.speaker_of(one)
        return kept[0]._replace(told=WORDS[int(kept[0].told)]), kept[1]

    @functools.cached_property
    def _speakers(self) -> dict[str, str]:
        """Who speaks each recording that was read, by its name."""
        return {}

    def good(self, split: str) -> list[Kept]:
        """The recordings of a split, or the strings made of them."""
        if self.joined is None or split == "digits":
            return super().good("test" if split == "digits" else split)
        if split not in self._strings:
            joined, draw = self._joined_of(split), np.random.default_rng((_FIXED, *split.encode()))
            self._strings[split] = [joined.drawn(draw) for _ in range(self.strings)]
        return self._strings[split]

    @functools.cached_property
    def _strings(self) -> dict[str, list[Kept]]:
        return {}

    def _joined_of(self, split: str) -> Joined:
        speakers: dict[str, list[Kept]] = {}
        for one in super().good(split):
            speakers.setdefault(self._speakers[one[0].name], []).append(one)
        pauses = tuple(round(seconds * self.hertz) for seconds in self.pause)
        return Joined(tuple(map(tuple, speakers.values())), self.joined, pauses, self.samples)

    @functools.cached_property
    def longest(self) -> int:
        """T: the most tokens of a string, the end counted."""
        most = 1 if self.joined is None else self.joined[1]
        return 1 + max(len(self.vocabulary.encode(" ".join([word] * most))) for word in WORDS)

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        return ([" ".join(WORDS)], [])

    def with_validation(self) -> "SpokenDigits":
        """These data with a "validation" split: strings of a tenth of the training recordings, chosen by a hash."""
        return holding_out(self, "_strings")

    def source(self) -> Any:
        if self.joined is None:
            return super().source()
        return JoinedSource(self._joined_of("train"), self, self.bucket_sizes(), self.spec(), self.batch_size)

    def remarks(self, source: Any) -> Iterator[str]:
        """What the user should know of the training recordings."""
        if not isinstance(source, JoinedSource):
            yield from super().remarks(source)
            return
        count = sum(map(len, source.joined.recordings))
        speakers = f"{len(source.joined.recordings)} speakers"
        low, high = self.joined
        yield f"data: {self.name}, {count:,} recordings of {speakers}, joined to strings of {low} to {high}, streamed"
        yield from self.faults()
