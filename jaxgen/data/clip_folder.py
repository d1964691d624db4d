"""Clips of the user's own: a folder of animations, read by the decoder of pictures."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, ClassVar

import jax

from jaxgen.data.bad import BadExamples
from jaxgen.data.copies import copy_with
from jaxgen.data.decoder import ANIMATED
from jaxgen.data.examples import Chosen, Tolerant, decoded
from jaxgen.data.folders import PictureFolder
from jaxgen.data.residence import Residence
from jaxgen.data.sources import HostExamples, ResidentExamples, padded_batches
from jaxgen.data.splits import holding_out, in_validation
from jaxgen.data.streams import StreamedExamples
from jaxgen.errors import UserError
from jaxgen.types import Key, Spec

_CAPTION = 128  # bytes of a caption


@dataclass(frozen=True)
class Clips:
    """The first `frames` frames of each GIF, WebP, PNG or AVIF animation in a folder, in colour.

    The folder `name` is laid out as one of pictures is: folders of classes, of splits, a captions.jsonl. Other pictures
    are passed over; an animation of fewer frames is bad, and up to `skip_bad` of those are replaced by the next.
    """

    name: str
    batch_size: int = 16
    frames: int = 16  # T
    size: int | None = 32  # H and W; None: the folder's own, or if they differ the smallest
    skip_bad: int = 0
    places: ClassVar[tuple[str, ...]] = ("name",)  # where the clips lie
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far
    holds_out: bool = field(init=False, repr=False, default=False)  # whether a tenth of `train` is set aside
    kept: tuple[int, int] | None = field(init=False, repr=False, default=None)  # H, W that a run has trained on

    def __post_init__(self):
        if min(self.batch_size, self.frames) < 1 or (self.size is not None and self.size < 1):
            raise UserError(
                f"data.batch_size is {self.batch_size}, frames {self.frames} and size {self.size}; give at least 1 of "
                "each"
            )
        object.__setattr__(self, "bad", BadExamples(self.skip_bad))

    @functools.cached_property
    def _folder(self) -> PictureFolder:
        path = Path(self.name)
        if not path.is_dir():
            raise UserError(f"there is no folder {self.name}; name one of animated GIFs by data.name")
        folder = PictureFolder(path, self.size, _CAPTION, self.bad, self.kept, self.frames)
        if not any(_may_move(one.name) for files in folder.layout.splits.values() for one in files):
            raise UserError(f"{self.name} holds no animation ({', '.join(sorted(ANIMATED))}); name another folder")
        return folder

    def spec(self) -> Spec:
        return self._folder.spec

    def with_spec(self, spec: Spec) -> "Clips":
        """These data with clips of the size that a run has kept, where `size` asks for none."""
        return copy_with(self, "_folder", kept=spec.made.shape[1:3])

    def with_validation(self) -> "Clips":
        """These data with a "validation" split: a tenth of the training clips, by a hash of their names."""
        return holding_out(self)

    def understood(self) -> Iterator[str]:
        """How the folder was understood."""
        yield from (f"{self.name}: {sentence}" for sentence in self._folder.told())
        yield f"{self.name}: of each animation the first {self.frames} frames make a clip"

    def class_names(self) -> dict[str, tuple[str, ...]]:
        return {"class": self._folder.classes} if self._folder.classes else {}

    def _keep(self, split: str) -> Callable[[str], bool]:
        """Whether a file of this name belongs to a split."""
        if self.holds_out and split in ("train", "validation"):
            return lambda name: _may_move(name) and in_validation(name) == (split == "validation")
        return _may_move

    def _part(self, split: str) -> str:
        """The part of the folder that a split is taken from."""
        if split == "validation" and not self.holds_out:
            raise UserError(f"{self.name} has no validation split; leave `best` and `stop` out")
        return "train" if split == "validation" else split

    def examples(self, split: str) -> Tolerant:
        """The clips of a split on disk, decoded as they are asked for; UserError where there are none."""
        examples = self._folder.examples(self._part(split), self._keep(split))
        if not len(examples):
            raise UserError(f"the split {split!r} of {self.name} has no animation; add some")
        return examples

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the clips."""
        return key

    def source(self) -> ResidentExamples | HostExamples | StreamedExamples:
        examples, shape = self.examples("train"), self.spec().made.shape
        residence = Residence.AUTO.settled(len(examples) * math.prod(shape))
        if residence is Residence.DISK:
            return StreamedExamples(examples, self.spec(), self.batch_size)
        kind = ResidentExamples if residence is Residence.DEVICE else HostExamples
        return kind(decoded(examples), self.spec(), self.batch_size)

    def remarks(self, source: Any) -> Iterator[str]:
        """How many clips are trained on, and which animations were passed over."""
        count = len(source.examples) if isinstance(source, StreamedExamples) else len(jax.tree.leaves(source.arrays)[0])
        yield f"data: {self.name}, {count:,} clips"
        if self.bad.count:
            yield self.bad.told()

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every clip of the split once, [n, B, ...]."""
        return padded_batches(decoded(self.examples(split)), self.batch_size)

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first clips of a split, as many as there are up to `count`, [N, ...] each; no others are decoded."""
        examples = self.examples(split)
        return decoded(Chosen(examples, range(min(count, len(examples)))))

    def split_digests(self) -> dict[str, dict[str, Any]]:
        """How many clips each split has, and a digest of their names."""
        splits = ("train", "validation", "test") if self.holds_out else ("train", "test")
        return {
            split: {
                "examples": len(self.examples(split)),
                "sha256": self._folder.digest(self._part(split), self._keep(split)),
            }
            for split in splits
        }

    def content(self) -> str:
        """SHA-256 of the files' names and sizes, and of what the splits are."""
        told = {**self.split_digests(), "files": self._folder.files_digest(times=False)}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _may_move(name: str) -> bool:
    return PurePath(name).suffix.lower() in ANIMATED
