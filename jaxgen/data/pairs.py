"""Line-aligned pairs, a sentence and its translation say, in batches of a few shapes: the buckets of their lengths."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jaxgen.core.data import Working
from jaxgen.data.bad import BadExamples
from jaxgen.data.buckets import BucketedExamples, check_buckets
from jaxgen.data.copies import copy_with
from jaxgen.data.emoji_names import EmojiNames, Line
from jaxgen.data.files import decoded_lines, read_lines
from jaxgen.data.joined_pairs import joined
from jaxgen.data.sources import padded_batches
from jaxgen.data.splits import holding_out, in_validation
from jaxgen.data.targets import target_arrays
from jaxgen.data.tokenizers import BytePairs, Tokenizer, Vocabulary, with_bytes
from jaxgen.errors import UserError
from jaxgen.types import Framing, Key, Spec, Tokens

Encoded = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pairs:
    """Sentences, and what is made of each: two files line by line, gzipped or not, or an embedded corpus.

    What is given is the "source". Both sides share the vocabulary of `tokens`, fitted to both, unless the source has
    `source_tokens` of its own. A target begins with the token `vocabulary`, "start", and ends with the last one of
    the vocabulary, "end". A pair goes into the smallest of `buckets` that holds both sides, the end counted, and is
    padded to it: there are never more shapes than buckets. Lines that are empty, too long, no UTF-8 or without a
    partner are bad: up to `skip_bad` of them are left out. At most `steps_a_shape` batches of one shape follow each
    other. For each training pair there are `joined` more, of two each (`joined_pairs.joined`), of those that fit.
    """

    train: tuple[str, str] | EmojiNames  # files, the source's first; or a corpus that has all splits
    test: tuple[str, str] | None = None
    validation: tuple[str, str] | None = None
    batch_size: int = 64
    buckets: tuple[int, ...] = (16, 32, 64)  # tokens
    tokens: Tokenizer = BytePairs()
    source_tokens: Tokenizer | None = None
    steps_a_shape: int = 20
    skip_bad: int = 0
    joined: float = 0.0  # for small corpora
    places: ClassVar[tuple[str, ...]] = ("train", "test", "validation")  # where the lines lie
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far
    holds_out: bool = field(init=False, repr=False, default=False)  # whether a tenth of `train` is set aside
    kept: tuple[Vocabulary, Vocabulary] | None = field(init=False, repr=False, compare=False, default=None)  # given

    def __post_init__(self):
        if self.batch_size < 1 or self.steps_a_shape < 1:
            raise UserError(
                f"batch_size is {self.batch_size} and steps_a_shape {self.steps_a_shape}; give at least 1 of each"
            )
        if not 0 <= self.joined < math.inf:
            raise UserError(f"data.joined is {self.joined}; give how many joined pairs there are for each, from 0 on")
        if not self.buckets:
            raise UserError("data.buckets is (); give lengths from 2 on")
        check_buckets(self.buckets, 2, "lengths from 2 on")
        if isinstance(self.train, EmojiNames) != (self.test is None):
            raise UserError("data.test names the files of the test split; give it with data.train's, and only then")
        object.__setattr__(self, "bad", BadExamples(self.skip_bad))

    @property
    def name(self) -> str:
        if isinstance(self.train, EmojiNames):
            return str(self.train)
        return " and ".join(Path(path).name for path in self.train)

    @functools.cached_property
    def _lines(self) -> dict[str, list[Line]]:
        if isinstance(self.train, EmojiNames):
            return self.train.lines()
        files = {"train": self.train, "validation": self.validation, "test": self.test}
        lines = {split: list(self._aligned(split, *pair)) for split, pair in files.items() if pair is not None}
        if "validation" in lines or not self.holds_out:
            return lines
        aside = {
            split: [line for line in lines["train"] if in_validation("\n".join(line[1:])) == (split != "train")]
            for split in ("train", "validation")
        }
        return lines | aside

    def with_validation(self) -> "Pairs":
        """These data with a "validation" split: their own, or a tenth of the training pairs, chosen by a hash."""
        return holding_out(self, "_lines", "_held", "vocabularies")

    def _aligned(self, split: str, source: str, target: str) -> Iterator[Line]:
        """The good lines of two files."""
        sides = [read_lines(path, f"data.{split}") for path in (source, target)]
        shorter, longer = sorted(zip(map(len, sides), (source, target), strict=True))
        for number in range(shorter[0] + 1, longer[0] + 1):
            what = f"has no partner in {shorter[1]}, which ends at line {shorter[0]}"
            self.bad.refuse(f"{longer[1]} line {number}", what)
        decoded = (decoded_lines(*side, self.bad) for side in zip((source, target), sides, strict=True))
        for (place, given), (other, made) in zip(*decoded, strict=False):
            if given is None or made is None:
                continue
            if not given.strip() or not made.strip():
                self.bad.refuse(other if given.strip() else place, "the line is empty")
                continue
            yield place, given.strip(), made.strip()

    def of(self, split: str) -> list[Line]:
        """The pairs of a split; UserError when these data have no such split, or nothing is in it."""
        if split not in self._lines:
            raise UserError(f"these pairs have no {split} split, only {', '.join(self._lines)}; name data.{split}")
        if not self._lines[split]:
            raise UserError(f"the {split} split of these pairs is empty; name other files by data.{split}")
        return self._lines[split]

    @functools.cached_property
    def vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        """The source's and the target's; one and the same where they share it."""
        if self.kept is not None:
            return self.kept
        texts, others = ([[line[side] for line in lines] for side in (1, 2)] for lines in self._fitted_to())
        if self.source_tokens is None:
            shared = self.tokens.fit([*texts[0], *texts[1]], [*others[0], *others[1]])
            return shared, shared
        return self.source_tokens.fit(texts[0], others[0]), self.tokens.fit(texts[1], others[1])

    def _fitted_to(self) -> tuple[list[Line], list[Line]]:
        return self.of("train"), [line for split, lines in self._lines.items() if split != "train" for line in lines]

    def text_digest(self) -> str:
        """SHA-256 of all lines."""
        digest = hashlib.sha256()
        for _, *texts in itertools.chain(*self._fitted_to()):
            digest.update("\n".join((*texts, "")).encode())
        return digest.hexdigest()

    def content(self) -> str:
        """SHA-256 of the lines of all splits."""
        digest = hashlib.sha256()
        for split in sorted(self._lines):
            for _, *texts in self._lines[split]:
                digest.update("\n".join((split, *texts, "")).encode())
        return digest.hexdigest()

    def vocabulary_document(self) -> dict[str, Any]:
        source, target = (known.document() for known in self.vocabularies)
        return {"shared": target} if self.source_tokens is None else {"source": source, "target": target}

    def with_vocabulary(self, document: dict[str, Any]) -> "Pairs":
        """These data with the vocabularies that `vocabulary_document` told, whatever the files have become."""
        if self.source_tokens is None:
            shared = self.tokens.read(document.get("shared", {}))
            kept = shared, shared
        else:
            source, target = (document.get(side, {}) for side in ("source", "target"))
            kept = self.source_tokens.read(source), self.tokens.read(target)
        return copy_with(self, "_held", "vocabularies", kept=kept)

    def codec(self, name: str) -> Vocabulary:
        return self.vocabularies[1 if name == "made" else 0]

    def spec(self) -> Spec:
        source, target = self.vocabularies
        length = self.buckets[-1]
        made = Tokens(length, target.size + 1, target.unit, Framing.TARGET)
        return Spec(made, (("source", Tokens(length, source.size, source.unit, Framing.SOURCE)),))

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the files."""
        return key

    def remarks(self, source: "BucketedExamples") -> Iterator[str]:
        """What the user should know of what `source` has read."""
        if self.bad.count:
            yield self.bad.told()
        masks = [(arrays["given"]["source"]["mask"], arrays["made"]["mask"]) for arrays in source.arrays]
        sizes = [f"{len(mask):,} of up to {mask.shape[1]}" for _, mask in masks]
        real = sum(mask.sum() for both in masks for mask in both)
        room = sum(mask.size for both in masks for mask in both)
        yield f"pairs by their tokens: {', '.join(sizes)}; {1 - real / room:.1%} is padding"

    def source(self) -> "BucketedExamples":
        pairs = [*self._encoded("train"), *self._joined()]
        edges = (0, *self.buckets)
        parts = ([p for p in pairs if low < _room(p) <= high] for low, high in itertools.pairwise(edges))
        filled = tuple(self._padded(part, size) for part, size in zip(parts, self.buckets, strict=True) if part)
        return BucketedExamples(filled, self.spec(), self.batch_size, self.steps_a_shape)

    def _joined(self) -> Iterator[Encoded]:
        """As many joined training pairs as are asked for, less those that are too long."""
        lines = self.of("train")
        drawn = itertools.islice(joined(lines), round(self.joined * len(lines)))
        return (pair for line in drawn if _room(pair := self._pair(line)) <= self.buckets[-1])

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every pair of the split once, all in the largest bucket: [n, B, ...]."""
        batches = padded_batches(self._padded(self._encoded(split), self.buckets[-1]), self.batch_size)
        return with_bytes(batches, self.vocabularies[1])

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first pairs of a split, [N, ...] each."""
        return self._padded(self._encoded(split)[:count], self.buckets[-1])

    def check(self, known: Mapping[str, Any], work: Working, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Encodes the pairs of all splits, which are kept; UserError names one that is too long."""
        for split in self._lines:
            self._encoded(split)
        return {}

    @functools.cached_property
    def _held(self) -> dict[str, list[Encoded]]:
        """The splits encoded so far: a line that is too long is counted once."""
        return {}

    def _encoded(self, split: str) -> list[Encoded]:
        if split not in self._held:
            self._held[split] = self._fitting(split)
        return self._held[split]

    def _fitting(self, split: str) -> list[Encoded]:
        pairs = []
        for line in self.of(split):
            pair = self._pair(line)
            if _room(pair) > self.buckets[-1]:
                self.bad.refuse(line[0], f"{_room(pair)} tokens, more than the longest of data.buckets={self.buckets}")
            else:
                pairs.append(pair)
        if not pairs:
            raise UserError(f"no pair of the {split} split fits into data.buckets={self.buckets}; give a longer one")
        return pairs

    def _pair(self, line: Line) -> Encoded:
        source, target = self.vocabularies
        return source.encode(line[1]), target.encode(line[2])

    def _padded(self, pairs: list[Encoded], size: int) -> dict[str, Any]:
        """The source [N, size] and the target [N, size+1], each with its mask [N, size]."""
        source, mask = np.zeros((len(pairs), size), np.int32), np.zeros((len(pairs), size), bool)
        for row, (given, _) in enumerate(pairs):
            source[row, : len(given)], mask[row, : len(given)] = given, True
        made = target_arrays([target for _, target in pairs], size, self.vocabularies[1].size)
        return {"given": {"source": {"value": source, "mask": mask}}, "made": made}


def _room(pair: Encoded) -> int:
    """The tokens that a bucket must hold: of the source, or of the target and its end."""
    return max(len(pair[0]), len(pair[1]) + 1)
