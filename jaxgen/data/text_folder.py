"""A folder of text files: which of them are read, in which split each is, and what is left out."""
# SPDX-License-Identifier: Apache-2.0

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxgen.data.folder_names import SPLIT_FOLDERS, left_behind, walked
from jaxgen.data.splits import held_out
from jaxgen.errors import UserError

SUFFIXES = (".txt", ".md")  # gzipped (.gz) or not


@dataclass(frozen=True)
class TextFolder:
    """The text files of a folder by their splits, each by its path from the folder on, in the order of these.

    Folders `train` and `test` (or `valid`, `val` ...) at the top are its splits; else one file in ten is for the test,
    by a hash of its path, so that a file which comes or goes moves no other one.
    """

    path: Path
    splits: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> "TextFolder":
        """UserError where no text file is in it."""
        texts, hidden, others, empty, broken, runs = [], 0, Counter(), 0, 0, []
        for at, files in walked(path, runs):
            for file in (Path(at, name).relative_to(path) for name in files):
                if not _is_text(file.name):
                    others[file.suffix or file.name] += not _is_hidden(file)
                elif _is_hidden(file):
                    hidden += 1
                elif not (path / file).is_file():
                    broken += 1
                elif not (path / file).stat().st_size:
                    empty += 1
                else:
                    texts.append(file.as_posix())
        if not texts:
            raise UserError(f"{path} is a folder without a text file ({', '.join(SUFFIXES)}); name another")
        splits, beside = _split(sorted(texts))
        told = {
            "hidden files": hidden,
            "empty files": empty,
            "links to nothing": broken,
            "folders of jaxgen's runs": len(runs),
            "files beside the folders of the splits": beside,
        }
        left = [f"{count:,} {what}" for what, count in told.items() if count]
        left += [f"{count:,} {suffix}" for suffix, count in sorted(others.items()) if count]
        return cls(path, splits, tuple(left))

    def files(self, split: str) -> list[str]:
        """The paths of a split's files."""
        return [str(self.path / file) for file in self.splits[split]]

    @property
    def every(self) -> list[str]:
        """The paths of all files, whatever their split."""
        return sorted(file for split in self.splits for file in self.files(split))

    def told(self) -> Iterator[str]:
        """One or two lines for the user."""
        counts = ", ".join(f"{len(files):,} {split}" for split, files in self.splits.items())
        yield f"{self.path}: text files: {counts}"
        if self.left_out:
            yield f"left out: {', '.join(self.left_out)}"


def _is_text(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _is_hidden(file: Path) -> bool:
    return any(left_behind(part) or part.startswith("~") for part in file.parts)


def _split(files: list[str]) -> tuple[dict[str, tuple[str, ...]], int]:
    """The files by split, and how many are in none."""
    named: dict[str, list[str]] = {}
    for file in files:
        split = SPLIT_FOLDERS.get(file.split("/")[0].lower(), "") if "/" in file else ""
        named.setdefault(split, []).append(file)
    if "train" in named and len(named.keys() - {""}) > 1:
        beside = len(named.pop("", []))
        if "test" not in named:
            named["test"] = named.pop("validation")
        return {split: tuple(named[split]) for split in ("train", "validation", "test") if split in named}, beside
    if len(files) == 1:
        return {"train": tuple(files), "test": ()}, 0
    return {split: tuple(each) for split, each in held_out(files, str).items()}, 0
