"""Folders of the user's pictures, decoded one at a time: classes, splits, captions and the size of all."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.bad import BadExamples
from jaxgen.data.captions import as_bytes, read_captions
from jaxgen.data.decoder import picture_size, read_clip, read_picture
from jaxgen.data.examples import BadExample, Tolerant
from jaxgen.data.layouts import Layout, Picture
from jaxgen.data.splits import rows_of
from jaxgen.errors import UserError
from jaxgen.types import Clip, Framing, Label, Modality, Spec, Tokens, Unit
from jaxgen.types import Image as ImageSize

_SIZED = 10_000  # pictures at most whose headers are read for the size of all; of more, so many at equal distances


@dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures, RGB, laid out in one of the ways that `Layout` understands.

    A `captions.jsonl` has a line {"file": "a/b.png", "caption": "..."} a picture, its path from the file's folder on.
    """

    path: Path
    size: int | None  # H and W of all; None: as the pictures are, see `side`
    caption_length: int  # bytes
    bad: BadExamples
    kept: tuple[int, int] | None = None  # H and W that a run has trained on, where `size` is None
    frames: int | None = None  # of each animation, of which clips are made; None: pictures

    @functools.cached_property
    def layout(self) -> Layout:
        return Layout.of(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.layout.classes

    @functools.cached_property
    def _captions(self) -> tuple[dict[Path, str], int]:
        return read_captions(self.layout.captions, self.bad)

    @functools.cached_property
    def _sizes(self) -> Counter[tuple[int, int]]:
        """How many of the training pictures are of each H, W; those that cannot be opened are told when read."""
        files, sizes = [picture.file for picture in self.layout.splits["train"]], Counter()
        for place in range(0, len(files), -(-len(files) // _SIZED)):
            try:
                sizes[picture_size(files[place])] += 1
            except BadExample:
                continue
        if not sizes:
            raise UserError(f"no picture of {self.path} can be opened (the first is {files[0]}); give others")
        return sizes

    @functools.cached_property
    def side(self) -> tuple[int, int]:
        """H, W of all pictures: the size asked for, the one that all have, or else a square that enlarges none."""
        if self.size is not None:
            return self.size, self.size
        if self.kept is not None:
            return self.kept
        if len(self._sizes) == 1:
            return next(iter(self._sizes))
        smallest = min(min(size) for size in self._sizes)
        return smallest, smallest

    @functools.cached_property
    def spec(self) -> Spec:
        given: list[tuple[str, Modality]] = [("class", Label(len(self.classes)))] if self.classes else []
        if self.layout.captions:
            given.append(("caption", Tokens(self.caption_length, 256, Unit.BYTE, Framing.SOURCE)))
        made = ImageSize(*self.side, 3, 256) if self.frames is None else Clip(self.frames, *self.side, 3, 256)
        return Spec(made, tuple(given))

    def told(self) -> Iterator[str]:
        """What was understood of the folder, for the user."""
        yield from self.layout.told()
        if self.size is None and self.kept is None and len(self._sizes) > 1:
            chosen = min(self._sizes, key=min), max(self._sizes, key=np.prod)  # the first has the shortest side
            least, most = ("x".join(map(str, size)) for size in chosen)
            yield (
                f"pictures of {len(self._sizes)} sizes, from {least} to {most} (H x W): all are scaled and cut to "
                f"{self.side[0]}x{self.side[1]}, the shortest side of all, which enlarges none; choose another by "
                "--set data.size=N"
            )

    def examples(self, expression: str, keep: Callable[[str], bool] | None) -> Tolerant:
        """The pictures of a split expression whose names are to be kept.

        UserError when there are none, or more bad ones than are tolerated.
        """
        pictures = self.pictures(expression, keep)
        captions = None
        if self.layout.captions:
            pictures, captions = self.captioned(pictures)
        number = {name: place for place, name in enumerate(self.classes)}
        labels = tuple(number[picture.kind] for picture in pictures) if number else None
        return Tolerant(_Files(tuple(picture.file for picture in pictures), labels, captions, self.spec), self.bad)

    def captioned(self, pictures: Sequence[Picture]) -> tuple[list[Picture], tuple[str, ...]]:
        """Those with a caption, and it; of the others, one is let pass for each bad line, which may have been its own.
        """
        captions, passed = self._captions
        lacking = [picture for picture in pictures if picture.file not in captions]
        for picture in lacking[passed:]:
            self.bad.refuse(str(picture.file), f"{self.layout.captions[0].name} has no caption for it")
        if len(lacking) == len(pictures) and pictures:
            raise UserError(f"none of the {len(pictures)} pictures of {self.path} has a caption; give some")
        found = [picture for picture in pictures if picture.file in captions]
        return found, tuple(captions[picture.file] for picture in found)

    def pictures(self, expression: str, keep: Callable[[str], bool] | None) -> list[Picture]:
        """The pictures of a split expression that are to be kept, those without a caption too."""
        splits = self.layout.splits
        parts = rows_of(expression, {split: len(files) for split, files in splits.items()}, str(self.path))
        found = (picture for split, first, end in parts for picture in splits[split][first:end])
        return [picture for picture in found if keep is None or keep(picture.name)]

    def digest(self, expression: str, keep: Callable[[str], bool] | None) -> str:
        """SHA-256 of which pictures those of a split expression are."""
        names = "\n".join(picture.name for picture in self.pictures(expression, keep))
        return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()

    @functools.cached_property
    def stamp(self) -> str:
        """A digest of the files as they are on this disk: another one where any of them was written again."""
        return self.files_digest(times=True)

    def files_digest(self, times: bool) -> str:
        """SHA-256 of all pictures' names and sizes in bytes, with the `times` when they were written or without."""
        every = {picture.name: picture.file.stat() for split in self.layout.splits.values() for picture in split}
        told = [(name, facts.st_size, *([facts.st_mtime_ns] if times else [])) for name, facts in sorted(every.items())]
        captions = [hashlib.sha256(listed.read_bytes()).hexdigest() for listed in self.layout.captions]
        return hashlib.sha256(json.dumps([told, captions]).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class _Files:
    """Pictures decoded as they are asked for."""

    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    captions: tuple[str, ...] | None
    spec: Spec

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.labels is not None:
            given["class"] = {"value": np.int32(self.labels[place])}
        if self.captions is not None:
            given["caption"] = as_bytes(self.captions[place], dict(self.spec.given)["caption"].length)
        read = read_clip if isinstance(self.spec.made, Clip) else read_picture
        return {"given": given, "made": {"value": read(self.files[place], self.spec.made.shape)}}
