"""Pictures that are given and captions that are made: those of emoji, and the user's folders with `captions.jsonl`."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jaxgen.core.data import Working
from jaxgen.data.bad import BadExamples
from jaxgen.data.checking import check_pictures
from jaxgen.data.copies import copy_with
from jaxgen.data.decoder import read_picture
from jaxgen.data.emoji_captions import EmojiCaptions
from jaxgen.data.examples import BadExample, Chosen, Tolerant, decoded, size_of
from jaxgen.data.folders import PictureFolder
from jaxgen.data.parts import PaddedParts
from jaxgen.data.residence import Residence
from jaxgen.data.sources import HostExamples, ResidentExamples, padded_batches
from jaxgen.data.splits import holding_out, in_validation
from jaxgen.data.streams import StreamedExamples
from jaxgen.data.targets import FittedToTexts, target_arrays
from jaxgen.data.tokenizers import Characters, Tokenizer, Vocabulary, Words, with_bytes
from jaxgen.errors import UserError
from jaxgen.ops.augmentation import shifted
from jaxgen.types import Batch, Framing, Image, Key, Spec, Tokens

_PART = 2**28  # bytes of pictures that are evaluated at once


class Listed(NamedTuple):
    """A split: what each picture is called, the pictures (arrays, or files still to be decoded), their captions."""

    names: tuple[str, ...]
    pictures: Sequence[Any]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionedPictures(FittedToTexts):
    """Emoji, or a folder of pictures with `captions.jsonl`: a "picture" is given, the tokens of its caption are made.

    The words are as in `Pairs`: they begin with the token V, "start", and end with the last one of the vocabulary,
    "end", which the mask counts too. A folder has the splits that `Pictures` finds in it, its classes mean nothing
    here; its pictures are scaled to `size` pixels a side (none given: their own, or the smallest). In training each
    picture is moved by up to `shift` pixels. Up to `skip_bad` bad examples are replaced by the next good one.
    """

    pictures: EmojiCaptions | str = EmojiCaptions()
    batch_size: int = 64
    tokens: Tokenizer = Words()
    size: int | None = None  # H and W of a folder's pictures
    shift: int = 0
    residence: Residence = Residence.AUTO
    workers: int = 0  # processes that decode what is read from disk; 0: threads of this one
    skip_bad: int = 0
    places: ClassVar[tuple[str, ...]] = ("pictures",)  # where the pictures lie
    ended: ClassVar[bool] = True  # whether a caption's tokens have an end
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far
    holds_out: bool = field(init=False, repr=False, default=False)  # whether a tenth of "train" is set aside
    kept: Vocabulary | None = field(init=False, repr=False, compare=False, default=None)  # a vocabulary that is given
    sizes: tuple[int, int, int | None] | None = field(init=False, repr=False, default=None)  # H, W, T that a run kept

    def __post_init__(self):
        if self.batch_size < 1 or self.workers < 0 or self.shift < 0:
            raise UserError(
                f"data.batch_size is {self.batch_size}, data.workers {self.workers} and data.shift {self.shift}; give "
                "at least 1, and 0 or more of the others"
            )
        if self.size is not None and (self.size < 1 or isinstance(self.pictures, EmojiCaptions)):
            raise UserError(f"data.size is {self.size}; give at least 1, and for emoji data.pictures.size in its place")
        object.__setattr__(self, "bad", BadExamples(self.skip_bad))

    @property
    def name(self) -> str:
        return str(self.pictures)

    @functools.cached_property
    def _folder(self) -> PictureFolder | None:
        if isinstance(self.pictures, EmojiCaptions):
            return None
        if not Path(self.pictures).is_dir():
            raise UserError(f"data.pictures={self.pictures} is no folder; give one of pictures and captions.jsonl")
        folder = PictureFolder(Path(self.pictures), self.size, 1, self.bad, self.sizes and self.sizes[:2])
        if not folder.layout.captions:
            line = '{"file": "a.png", "caption": "..."}'
            raise UserError(f"{self.pictures} holds no captions.jsonl; write one with a line {line} a picture")
        return folder

    @functools.cached_property
    def _listed(self) -> dict[str, Listed]:
        if self._folder is None:
            splits = {split: Listed(*found) for split, found in self.pictures.splits().items()}
        else:
            splits = {split: self._of_folder(split) for split in self._folder.layout.splits}
        if self.holds_out and "validation" not in splits:
            whole = splits["train"]
            aside = [in_validation(name) for name in whole.names]
            splits |= {split: _those(whole, aside, split != "train") for split in ("train", "validation")}
        for split, found in splits.items():
            if not found.names:
                raise UserError(f"the {split} split of {self.name} is empty; give more pictures")
        return splits

    def _of_folder(self, split: str) -> Listed:
        found, captions = self._folder.captioned(self._folder.pictures(split, None))
        told = [(one.name, one.file, " ".join(caption.split())) for one, caption in zip(found, captions, strict=True)]
        for name, _, caption in told:
            if not caption:
                self.bad.refuse(name, "its caption is empty")
        names, files, captions = zip(*(one for one in told if one[2]), strict=True) if told else ((), (), ())
        return Listed(names, files, captions)

    def of(self, split: str) -> Listed:
        if split not in self._listed:
            raise UserError(f"{self.name} has no {split} split, only {', '.join(self._listed)}; name one of them")
        return self._listed[split]

    def with_validation(self) -> "CaptionedPictures":
        """These data with a "validation" split: a folder's own, or a tenth of the training pictures by a hash."""
        return holding_out(self, "_listed", "vocabulary", "longest")

    def with_spec(self, spec: Spec) -> "CaptionedPictures":
        """These data in the sizes that a run has kept, whatever the pictures and captions have become."""
        image, tokens = parts_of(spec)
        return copy_with(self, "_folder", "_listed", "longest", sizes=(*image.shape[:2], tokens and tokens.length))

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        others = [found.captions for split, found in self._listed.items() if split != "train"]
        all_others = list(itertools.chain(*others)) if isinstance(self.tokens, Characters) else []
        return list(self.of("train").captions), all_others

    @functools.cached_property
    def longest(self) -> int:
        """The most tokens of a caption of any split, the end counted where captions have one."""
        kept = self.sizes and self.sizes[2]
        captions = itertools.chain(*(found.captions for found in self._listed.values()))
        return kept or self.ended + max(len(self.vocabulary.encode(one)) for one in captions)

    @property
    def image(self) -> Image:
        height, width = (self.pictures.size,) * 2 if self._folder is None else self._folder.side
        return Image(height, width, 3, 256)

    def spec(self) -> Spec:
        return self.whole_spec

    @property
    def whole_spec(self) -> Spec:
        """Of the pictures with their captions."""
        made = Tokens(self.longest, self.vocabulary.size + 1, self.vocabulary.unit, Framing.TARGET)
        return Spec(made, (("picture", self.image),))

    def understood(self) -> Iterator[str]:
        """How a folder was understood; which pairs of attributes of emoji never occur together in training."""
        if self._folder is None:
            yield from self.pictures.told()
        else:
            yield from (f"{self.name}: {sentence}" for sentence in self._folder.told())

    def check(self, known: Mapping[str, Any], work: Working, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Decodes each of a folder's pictures once; UserError names the bad ones where they are too many."""
        if self._folder is None:
            return {}
        files = [file for found in self._listed.values() for file in found.pictures]
        told = f"{self.name}+{self._folder.stamp}+captioned"
        return check_pictures(files, _digest(told), self.bad, known, work, stopped)

    def examples(self, split: str) -> Tolerant:
        """The pictures of a split and their captions, decoded as they are asked for."""
        return Tolerant(CaptionedExamples(self.of(split), self.spec(), self.vocabulary), self.bad)

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first examples of a split, as many as there are up to `count`; no others are decoded."""
        examples = self.examples(split)
        return decoded(Chosen(examples, range(min(count, len(examples)))))

    def spread(self, split: str, count: int) -> dict[str, Any]:
        """`count` examples at even distances, for a folder's files stand in the order of their names."""
        examples = self.examples(split)
        size = min(count, len(examples))
        return decoded(Chosen(examples, [place * len(examples) // size for place in range(size)]))

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch with each picture moved by up to `shift` pixels; called inside the compiled step."""
        if not self.shift:
            return batch
        picture = batch["given"]["picture"]
        moved = shifted(picture["value"], key, batch["row"], self.shift)
        return {**batch, "given": {**batch["given"], "picture": {**picture, "value": moved}}}

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the pictures."""
        return key

    def source(self) -> ResidentExamples | HostExamples | StreamedExamples:
        examples, spec = self.examples("train"), self.spec()
        residence = self.residence.settled(len(examples) * int(np.prod(self.image.shape)))
        if residence is Residence.DISK:
            return StreamedExamples(examples, spec, self.batch_size, self.workers)
        kind = ResidentExamples if residence is Residence.DEVICE else HostExamples
        return kind(decoded(examples), spec, self.batch_size)

    def remarks(self, source: Any) -> Iterator[str]:
        """How many pictures there are, how long their captions are, and how many bad ones were met."""
        count = len(source.examples) if isinstance(source, StreamedExamples) else size_of(source.arrays)
        image, tokens = parts_of(self.whole_spec)
        told = f"captions of up to {tokens.length} tokens out of {tokens.vocabulary:,}"
        yield f"data: {self.name}, {count:,} pictures of {'x'.join(map(str, image.shape[:2]))}, {told}"
        if self.bad.count:
            yield self.bad.told()

    def split_digests(self) -> dict[str, dict[str, Any]]:
        """How many pictures each split has, and a digest of which they are and of their captions."""
        told = {split: [found.names, found.captions] for split, found in self._listed.items()}
        return {split: {"examples": len(one[0]), "sha256": _digest(json.dumps(one))} for split, one in told.items()}

    def content(self) -> str:
        """SHA-256 of names and captions, and of a folder's files' sizes."""
        told: dict[str, Any] = dict(self.split_digests())
        if self._folder is not None:
            told["files"] = self._folder.files_digest(times=False)
        return _digest(json.dumps(told, sort_keys=True))

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every example of the split once, [n, B, ...]."""
        return self._for_measures(padded_batches(decoded(self.examples(split)), self.batch_size))

    def _for_measures(self, batches: Batch) -> Batch:
        """Evaluation batches with what a likelihood's units need."""
        return with_bytes(batches, self.vocabulary)

    def evaluation_parts(self, split: str) -> Sequence[Batch]:
        """The same, decoded in parts where the split is larger than one."""
        examples, batch = self.examples(split), self.batch_size * int(np.prod(self.image.shape))  # bytes
        parts = PaddedParts(examples, self.batch_size, max(1, _PART // batch))
        return _ForMeasures(parts, self._for_measures) if len(parts) > 1 else ()


@dataclass(frozen=True)
class CaptionedExamples:
    """Pictures [H, W, 3] and the tokens of their captions, [T+1] with a mask [T]."""

    listed: Listed
    spec: Spec
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self.listed.names)

    def __getitem__(self, place: int) -> dict[str, Any]:
        length, end = self.spec.made.length, self.vocabulary.size
        said = self.caption(place)
        if len(said) + 1 > length:  # of captions that came after the run was begun
            what = f"its caption is {len(said) + 1} tokens with its end, more than the {length} of all others"
            raise BadExample(self.listed.names[place], what)
        made = {name: rows[0] for name, rows in target_arrays([said], length, end).items()}
        return {"given": {"picture": {"value": self.picture(place)}}, "made": made}

    def caption(self, place: int) -> np.ndarray:
        """The tokens of a picture's caption."""
        return self.vocabulary.encode(self.listed.captions[place])

    def picture(self, place: int) -> np.ndarray:
        """A picture, decoded."""
        picture = self.listed.pictures[place]
        return read_picture(picture, parts_of(self.spec)[0].shape) if isinstance(picture, Path) else picture


@dataclass(frozen=True)
class _ForMeasures:
    """Parts of a split, with what a likelihood's units need."""

    parts: PaddedParts
    add: Callable[[Batch], Batch]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.add(self.parts[number])


def parts_of(spec: Spec) -> tuple[Image, Tokens | None]:
    """The picture and its text, whichever of the two is given for the other; None where a picture is made of nothing.
    """
    if not spec.given:
        return spec.made, None
    ((_, given),) = spec.given
    return (given, spec.made) if isinstance(given, Image) else (spec.made, given)


def _those(listed: Listed, flags: Sequence[bool], wanted: bool) -> Listed:
    """The examples whose flag is the one wanted."""
    places = [place for place, flag in enumerate(flags) if flag == wanted]
    pictures = listed.pictures
    chosen = pictures[places] if isinstance(pictures, np.ndarray) else tuple(pictures[place] for place in places)
    return Listed(tuple(listed.names[p] for p in places), chosen, tuple(listed.captions[p] for p in places))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
