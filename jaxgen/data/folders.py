"""Folders of the user's pictures: classes by subfolder, captions by a file beside them, decoded one at a time."""
# SPDX-License-Identifier: Apache-2.0

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxgen.data.bad import BadExamples
from jaxgen.data.examples import BadExample, Tolerant
from jaxgen.data.scaling import fitted
from jaxgen.data.splits import held_out, rows_of
from jaxgen.errors import UserError
from jaxgen.types import Framing, Label, Modality, Spec, Tokens, Unit
from jaxgen.types import Image as ImageSize

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_CAPTIONS = "captions.jsonl"


@dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures, RGB: those in subfolders are of the class that the subfolder is named by.

    `train/` and `test/` are its splits where it has both; else one picture in ten, by a fixed permutation, is held out.
    `captions.jsonl` has a line {"file": "a/b.png", "caption": "..."} a picture, its path from the folder on.
    """

    path: Path
    size: int | None  # H and W of all; None: the first picture's
    caption_length: int  # bytes

    @functools.cached_property
    def splits(self) -> dict[str, list[Path]]:
        """Each split's files, in the order of their names."""
        if all((self.path / split).is_dir() for split in ("train", "test")):
            return {split: _files(self.path / split) for split in ("train", "test")}
        return held_out(_files(self.path))

    @functools.cached_property
    def classes(self) -> list[str]:
        """The subfolders' names in their order; none where a picture lies in the folder itself."""
        roots = [self.path / split for split in self.splits] if self._cut else [self.path]
        names = {file.relative_to(root).parts[0] for root in roots for file in _files(root) if file.parent != root}
        loose = any(file.parent == root for root in roots for file in _files(root))
        return [] if loose else sorted(names)

    @property
    def _cut(self) -> bool:
        """Whether the folder says itself what is held out."""
        return all((self.path / split).is_dir() for split in ("train", "test"))

    @functools.cached_property
    def captions(self) -> dict[Path, str]:
        """Each picture's caption; empty without the file. UserError names the line that is wrong."""
        listed = self.path / _CAPTIONS
        return dict(_captions(listed, self.path)) if listed.exists() else {}

    def spec(self) -> Spec:
        files = self.splits["train"]
        if not files:
            raise UserError(f"{self.path} holds no picture ({', '.join(sorted(_SUFFIXES))}); name another folder")
        side = (self.size, self.size) if self.size else _size(files)
        given: list[tuple[str, Modality]] = [("class", Label(len(self.classes)))] if self.classes else []
        if self.captions:
            given.append(("caption", Tokens(self.caption_length, 256, Unit.BYTE, Framing.SOURCE)))
        return Spec(ImageSize(*side, 3, 256), tuple(given))

    def examples(self, expression: str, bad: BadExamples, keep: Callable[[str], bool] | None) -> Tolerant:
        """The pictures of a split expression whose paths are to be kept.

        UserError when there are none, or more bad ones than are tolerated.
        """
        files = self.files(expression, keep)
        missing = [file for file in files if file not in self.captions] if self.captions else []
        for file in missing:
            bad.refuse(str(file), f"{_CAPTIONS} has no caption for it")
        captions = tuple(self.captions.get(file, "") for file in files) if self.captions else None
        return Tolerant(_Files(tuple(files), self._labels(files), captions, self.spec()), bad)

    def files(self, expression: str, keep: Callable[[str], bool] | None) -> list[Path]:
        """The pictures' paths of a split expression that are to be kept."""
        sizes = {split: len(files) for split, files in self.splits.items()}
        parts = rows_of(expression, sizes, str(self.path))
        files = [file for split, first, end in parts for file in self.splits[split][first:end]]
        return [file for file in files if keep is None or keep(str(file.relative_to(self.path)))]

    def _labels(self, files: list[Path]) -> tuple[int, ...] | None:
        if not self.classes:
            return None
        depth = len(self.path.parts) + (1 if self._cut else 0)
        number = {name: place for place, name in enumerate(self.classes)}
        return tuple(number[file.parts[depth]] for file in files)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())


def _captions(listed: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    for number, line in enumerate(listed.read_bytes().splitlines(), 1):
        try:
            entry = json.loads(line.decode("utf-8"))
            file, caption = folder / entry["file"], str(entry["caption"])
        except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
            wrong = f'is no {{"file": ..., "caption": ...}} in UTF-8 ({type(error).__name__})'
            raise UserError(f"{listed} line {number} {wrong}; mend it") from None
        if not file.is_file():
            raise UserError(f"{listed} line {number} names {entry['file']}, which is not there; mend it")
        yield file, caption


def _size(files: list[Path]) -> tuple[int, int]:
    """H, W of the first picture that can be opened."""
    for file in files:
        try:
            with Image.open(file) as picture:
                return picture.height, picture.width
        except OSError:
            continue  # told when it is read
    raise UserError(f"no picture of {files[0].parent} can be opened; give others")


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
            given["caption"] = _as_bytes(self.captions[place], dict(self.spec.given)["caption"].length)
        return {"given": given, "made": {"value": read_picture(self.files[place], self.spec.made.shape)}}


def _as_bytes(caption: str, length: int) -> dict[str, np.ndarray]:
    """`value` [S] int32 and `mask` [S]: the caption's first bytes."""
    first = np.frombuffer(caption.encode()[:length], np.uint8)
    value = np.zeros(length, np.int32)
    value[: len(first)] = first
    return {"value": value, "mask": np.arange(length) < len(first)}


def read_picture(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """[H, W, C] uint8. BadExample when no picture can be read from the file."""
    try:
        with Image.open(file) as picture:
            return fitted(picture, shape)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        what = "the file is empty" if file.exists() and not file.stat().st_size else str(error).split("\n")[0]
        raise BadExample(str(file), f"no picture can be read from it ({what})") from None
