"""Spoken numbers: recognition and speech translation on any machine, of utterances that espeak-ng makes once."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jaxgen.core.data import Working
from jaxgen.data.number_words import LANGUAGES
from jaxgen.data.recordings import Kept, digest_of
from jaxgen.data.rendered import Rendered, digest, rendered
from jaxgen.data.speech import Speech
from jaxgen.data.splits import rows_of
from jaxgen.data.spoken_plan import SPLITS, Planned, planned
from jaxgen.data.waves import Recording
from jaxgen.environment import cache_folder
from jaxgen.errors import UserError, nearest


@dataclass(frozen=True)
class SpokenNumbers(Speech):
    """Numbers up to 999,999, ordinals, decimals, years and times, spoken in one language and told in `text`.

    Where `text` is None they are told in the language `spoken`. `utterances` are trained on; `validation` and `test`
    have `tested` each, whose numbers (by their digits) and voices occur in no training utterance; numbers below 21 are
    in training alone. They are spoken once, and kept in the folder `cache` (none given: the user's), two bytes a
    sample. What lasts longer than `seconds` is left out.
    """

    name: str = field(init=False, default="spoken-numbers")
    spoken: str = "en"  # "en", "de" or "fr"
    text: str | None = None
    utterances: int = 20_000
    tested: int = 1_000
    cache: str | None = None
    batch_size: int = 32
    rate: int = 8_000  # Hz
    seconds: float = 5.0
    buckets: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 4.0)
    resample: bool = field(init=False, repr=False, default=False)
    data_dir: None = field(init=False, repr=False, default=None)
    skip_bad: int = field(init=False, repr=False, default=0)

    places: ClassVar[tuple[str, ...]] = ("cache",)

    def __post_init__(self):
        super().__post_init__()
        for name, language in (("spoken", self.spoken), ("text", self._text)):
            if language not in LANGUAGES:
                raise UserError(f"data.{name} is {language!r}, which is not spoken here{nearest(language, LANGUAGES)}")
        if min(self.utterances, self.tested) < 1:
            raise UserError(f"data.utterances is {self.utterances} and data.tested {self.tested}; give at least 1 each")

    @property
    def _text(self) -> str:
        return self.spoken if self.text is None else self.text

    @functools.cached_property
    def plan(self) -> dict[str, list[Planned]]:
        """What is spoken in each split, whether it fits `seconds` or not."""
        counts = {split: self.utterances if split == "train" else self.tested for split in SPLITS}
        return {split: planned(split, counts[split], self.spoken, self._text, self.seconds) for split in SPLITS}

    @functools.cached_property
    def left_out(self) -> dict[str, int]:
        """How many utterances of the splits that were read so far are longer than `seconds`."""
        return {}

    @property
    def _folder(self) -> Path:
        found = cache_folder("spoken") if self.cache is None else Path(self.cache).expanduser()
        if found is None:
            raise UserError("there is no home folder to keep utterances in; name a folder in data.cache")
        return found

    def _rendered(
        self, split: str, work: Working | None = None, stopped: Callable[[], bool] = lambda: False
    ) -> Rendered | None:
        """The utterances of a split, spoken where they are not kept yet; None where it was stopped."""
        label = f"speaking {self.name} ({self.spoken}, {split})"
        utterances = [one.utterance for one in self.plan[split]]
        return rendered(self._folder, utterances, self.rate, label, work, stopped)

    @functools.cached_property
    def hertz(self) -> int:
        return self.rate

    @property
    def _splits(self) -> tuple[str, ...]:
        return SPLITS

    def with_validation(self) -> "SpokenNumbers":
        """These data: they have a "validation" split."""
        return self

    def good(self, split: str) -> list[Kept]:
        """The utterances of a split, or of an expression, that fit `seconds`."""
        expression, parts = self._parts(split)
        if expression not in self._held:
            self._held[expression] = [one for part in parts for one in self._utterances(*part)]
        return self._held[expression]

    def _parts(self, split: str) -> tuple[str, list[tuple[str, int, int]]]:
        """The expression that a split is, and the splits that are read for it, from which row to which."""
        expression = {"train": self.train, "test": self.test}.get(split, split)
        sizes = {known: len(listed) for known, listed in self.plan.items()}
        return expression, rows_of(expression, sizes, self.name)

    def prepare(self, split: str, work: Working, stopped: Callable[[], bool]) -> None:
        """Speaks what is not kept yet of a split or an expression."""
        for spoken, _, _ in self._parts(split)[1]:
            if not stopped():
                self._rendered(spoken, work, stopped)

    def _utterances(self, split: str, first: int, end: int) -> list[Kept]:
        kept, most, listed = self._rendered(split), round(self.seconds * self.rate), self.plan[split]
        assert kept is not None
        found = []
        for place in range(first, end):
            name = f"{split} {place}"
            recording = Recording(f"{self.name} {name}", listed[place].told, self.rate, np.zeros(0, np.int16), name)
            if len(samples := kept.of(place)) <= most:
                found.append((recording, samples))
        self.left_out[split] = end - first - len(found)
        if not found:
            raise UserError(f"no utterance of {self.name} fits data.seconds={self.seconds}; give more")
        return found

    @functools.cached_property
    def longest(self) -> int:
        """T: the most tokens of what is told in any split, the end counted."""
        texts = {one.told for listed in self.plan.values() for one in listed}
        return 1 + max(len(self.vocabulary.encode(told)) for told in texts)

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        texts = {split: [one.told for one in listed] for split, listed in self.plan.items()}
        return texts.pop("train"), [told for listed in texts.values() for told in listed]

    def check(self, known: Mapping[str, Any], work: Working, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Speaks what is not kept yet, once and for all runs."""
        for split in SPLITS:
            if stopped() or self._rendered(split, work, stopped) is None:
                return {}
        for split in SPLITS:
            self.good(split)
        count = sum(self.left_out.values())
        if not count:
            return {}
        total = self.utterances + 2 * self.tested
        return {"remark": f"{count:,} of {total:,} utterances are longer than {self.seconds:g} s and are left out"}

    def split_digests(self) -> dict[str, dict[str, Any]]:
        """How many utterances each split has, and a digest of what they are and what is told of them."""
        told = {split: _told(listed) for split, listed in self.plan.items()}
        return {split: {"examples": len(some), "sha256": digest_of(some)} for split, some in told.items()}

    def content(self) -> str:
        """SHA-256 of what is spoken and told."""
        kept = {split: digest([one.utterance for one in listed], self.rate) for split, listed in self.plan.items()}
        return digest_of([kept, self.seconds, [_told(self.plan[split]) for split in SPLITS]])


def _told(listed: Sequence[Planned]) -> list[tuple[str, str, str]]:
    return [(one.number.value, one.told, one.utterance.voice) for one in listed]
