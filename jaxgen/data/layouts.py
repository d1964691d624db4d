"""How a folder of pictures is understood: its classes, its splits, and what of it is left out and why."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from jaxgen.data.decoder import SUFFIXES
from jaxgen.data.folder_names import SPLIT_FOLDERS, left_behind, walked
from jaxgen.data.splits import held_out
from jaxgen.errors import UserError

CAPTIONS = "captions.jsonl"
_NO_DATA = {"thumbs.db", "desktop.ini", "readme.md", "readme.txt", "license", "license.txt"}  # not worth a word
_NAMED = 8  # classes or files, in a sentence


class Picture(NamedTuple):
    """A picture file, what it is called whatever folder the set lies in, and its class."""

    file: Path
    name: str  # its path from the set's folder on, with slashes
    kind: str | None = None


@dataclass
class Walk:
    """What was found in a folder, by paths from it on."""

    pictures: list[tuple[str, ...]] = field(default_factory=list)
    captions: list[tuple[str, ...]] = field(default_factory=list)
    hidden: int = 0  # pictures that file managers, archives and notebooks left behind
    runs: list[str] = field(default_factory=list)  # folders of trained runs, whose pictures are samples
    others: Counter = field(default_factory=Counter)  # files of other kinds, by suffix

    def add(self, parts: tuple[str, ...], hidden: bool) -> None:
        name = parts[-1].lower()
        is_picture = os.path.splitext(name)[1] in SUFFIXES
        if hidden or name.startswith("."):
            self.hidden += is_picture
        elif name == CAPTIONS:
            self.captions.append(parts)
        elif is_picture:
            self.pictures.append(parts)
        elif name not in _NO_DATA:
            self.others[os.path.splitext(name)[1] or parts[-1]] += 1


@dataclass(frozen=True)
class Layout:
    """A folder's pictures by their splits, in the order of their names."""

    splits: Mapping[str, list[Picture]]
    classes: tuple[str, ...]
    captions: tuple[Path, ...]  # the files that tell them
    how: str  # the splits were made
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> "Layout":
        """UserError where the folder names splits and none to train on, or holds no picture."""
        walk = _walked(folder)
        if not walk.pictures:
            more = f"; it holds {_counted(walk.others)}" if walk.others else ""
            also = f", or prepare TFDS's {folder} in the folder TFDS_DATA_DIR" if folder.parts[1:] == () else ""
            none = f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}){more}"
            raise UserError(f"{none}; name another folder{also}")
        placed, how, left = _placed(walk, str(folder))
        classes, placed, loose = _classed(placed)
        parts = {
            split: [Picture(folder.joinpath(*parts), "/".join(parts), kind) for _, kind, parts in each]
            for split, each in itertools.groupby(sorted(placed, key=lambda one: one[0]), lambda one: one[0])
        }
        splits, made = _complete(parts, how)
        captions = tuple(folder.joinpath(*parts) for parts in sorted(walk.captions))
        return cls(splits, classes, captions, made, (*left, *loose, *_unread(walk)))

    def told(self) -> Iterator[str]:
        """One or two lines for the user."""
        counts = ", ".join(f"{len(files):,} {split}" for split, files in self.splits.items())
        few = f"{', '.join(self.classes[:_NAMED])}{', ...' if len(self.classes) > _NAMED else ''}"
        classes = f"{len(self.classes)} classes ({few})" if self.classes else "no classes"
        yield f"{classes}; pictures: {counts} ({self.how})"
        if self.left_out:
            yield f"left out: {'; '.join(self.left_out)}"


_Placed = tuple[str, str | None, tuple[str, ...]]  # split, the folder below it, path


def _walked(folder: Path) -> Walk:
    """All files below."""
    walk = Walk()
    for at, files in walked(folder, walk.runs):
        parts = Path(at).relative_to(folder).parts
        hidden = any(map(left_behind, parts))
        for name in files:
            if os.path.splitext(name)[1].lower() not in SUFFIXES or os.path.isfile(os.path.join(at, name)):
                walk.add((*parts, name), hidden)
    walk.pictures.sort()
    return walk


def _placed(walk: Walk, title: str) -> tuple[list[_Placed], str, list[str]]:
    """Each picture in its split, how that was found, and what is left out of all; "" where no folder says a split."""
    depth = _nesting(walk)
    tops = {parts[depth] for parts in walk.pictures if len(parts) > depth + 1}
    named: dict[str, list[str]] = {}
    for top in sorted(tops):
        named.setdefault(SPLIT_FOLDERS.get(top.lower(), ""), []).append(top)
    if "train" in named and len({*named} - {""}) > 1:
        return _by_split(walk, depth, named)
    if tops and not named.keys() - {"validation", "test"} and "train" not in named:
        raise UserError(f"{title} has the folders {', '.join(sorted(tops))} and none to train on; add one called train")
    inner = {SPLIT_FOLDERS.get(parts[depth + 1].lower()) if len(parts) > depth + 2 else None for parts in walk.pictures}
    if {"train"} < inner <= set(SPLIT_FOLDERS.values()):
        placed = [(SPLIT_FOLDERS[parts[depth + 1].lower()], parts[depth], parts) for parts in walk.pictures]
        return placed, "by the folders in each class", []
    return [("", _below(parts, depth), parts) for parts in walk.pictures], "", []


def _by_split(walk: Walk, depth: int, named: Mapping[str, list[str]]) -> tuple[list[_Placed], str, list[str]]:
    """Where the folders at `depth` are the splits."""
    placed, beside = [], Counter()
    for parts in walk.pictures:
        split = SPLIT_FOLDERS.get(parts[depth].lower()) if len(parts) > depth + 1 else None
        if split is None:
            beside[parts[depth] + ("/" if len(parts) > depth + 1 else "")] += 1
        else:
            placed.append((split, _below(parts, depth + 1), parts))
    how = "by the folders " + ", ".join(top for split, tops in named.items() if split for top in tops)
    left = [f"beside the folders of the splits {_listed(beside)}"] if beside else []
    return placed, how, left


def _nesting(walk: Walk) -> int:
    """How many folders that hold nothing but one other are around the set, as archives are unpacked."""
    for depth in itertools.count():
        tops = {parts[depth] if len(parts) > depth + 1 else "" for parts in walk.pictures}
        if len(tops) > 1 or "" in tops or any(len(parts) == depth + 1 for parts in walk.captions):
            return depth
    raise AssertionError("a picture has a folder of its own")


def _below(parts: tuple[str, ...], depth: int) -> str | None:
    """The folder at `depth` that a picture lies in."""
    return parts[depth] if len(parts) > depth + 1 else None


def _classed(placed: list[_Placed]) -> tuple[tuple[str, ...], list[_Placed], list[str]]:
    """The classes, the pictures that are of one, and which are not.

    The folders with pictures to train on are classes where there are two or more and most pictures lie in one.
    """
    trained = [kind for split, kind, _ in placed if split in ("train", "")]
    classes = tuple(sorted({kind for kind in trained if kind is not None}))
    if len(classes) < 2 or 2 * trained.count(None) > len(trained):
        return (), [(split, None, parts) for split, _, parts in placed], []
    loose = Counter("/".join(parts) for _, kind, parts in placed if kind is None)
    unknown = Counter(f"{kind}/" for _, kind, _ in placed if kind is not None and kind not in classes)
    left = [f"beside the folders of the classes {_listed(loose)}"] if loose else []
    left += [f"of classes without a training picture {_listed(unknown)}"] if unknown else []
    return classes, [one for one in placed if one[1] in classes], left


def _complete(parts: dict[str, list[Picture]], how: str) -> tuple[dict[str, list[Picture]], str]:
    """The splits "train" and "test", perhaps "validation" too, and how they were made."""
    if "test" in parts and "train" in parts:
        order = ("train", "validation", "test")
        return {split: parts[split] for split in order if split in parts}, how
    if "validation" in parts and "train" in parts:
        return {"train": parts["train"], "test": parts["validation"]}, f"{how}; what is no test folder's is the test"
    splits = held_out(parts.get("", parts.get("train", [])), lambda picture: picture.name)
    if splits["train"] is splits["test"]:
        return splits, "a single picture is trained on and tested by"
    return splits, "one in ten is for the test, by a hash of its name"


def _unread(walk: Walk) -> Iterator[str]:
    if walk.hidden:
        yield f"{walk.hidden:,} hidden pictures that programs left behind"
    if walk.runs:
        yield f"{len(walk.runs):,} folders of jaxgen's runs"
    if walk.others:
        yield f"files that are no pictures jaxgen reads, {_counted(walk.others)}"


def _listed(names: Mapping[str, int]) -> str:
    total, few = sum(names.values()), list(names)[:3]
    more = ", ..." if len(names) > len(few) else ""
    return f"{total:,} {'picture' if total == 1 else 'pictures'} ({', '.join(few)}{more})"


def _counted(suffixes: Mapping[str, int]) -> str:
    items: Iterable[tuple[str, int]] = sorted(suffixes.items(), key=lambda item: -item[1])[:_NAMED]
    return ", ".join(f"{count:,} {suffix}" for suffix, count in items)
