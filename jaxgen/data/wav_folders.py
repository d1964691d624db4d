"""Folders of the user's wav files, and the `transcripts.tsv` beside them that says what each is."""
# SPDX-License-Identifier: Apache-2.0

import functools
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxgen.data.bad import BadExamples
from jaxgen.data.files import decoded_lines, read_lines
from jaxgen.data.splits import held_out
from jaxgen.data.waves import Recording, read_wave
from jaxgen.errors import UserError

TRANSCRIPTS = "transcripts.tsv"


class Line(NamedTuple):
    """A good line of `transcripts.tsv`."""

    place: str
    name: str  # the file's path from the folder on
    file: Path
    told: str


@dataclass(frozen=True)
class WavFolder:
    """A folder whose `transcripts.tsv` has a line "FILE tab TEXT" for each recording, the path from the folder on.

    `train/` and `test/` are its splits where each has such a file; else one line in ten is held out, by a hash
    of its file's name.
    """

    path: Path
    bad: BadExamples

    @functools.cached_property
    def splits(self) -> Mapping[str, Sequence[Line]]:
        parts = {split: self.path / split for split in ("train", "test")}
        if all((folder / TRANSCRIPTS).is_file() for folder in parts.values()):
            return {split: self._lines(folder) for split, folder in parts.items()}
        return held_out(self._lines(self.path), lambda line: line.name)

    def read(self, line: Line) -> Recording:
        """BadExample when the line's file is no whole wav."""
        rate, samples = read_wave(line.file)
        return Recording(f"{line.file} ({line.place})", line.told, rate, samples, line.name)

    def _lines(self, folder: Path) -> list[Line]:
        listed, lines = folder / TRANSCRIPTS, []
        if folder.is_dir() and not listed.exists():
            raise UserError(f"{folder} has no {TRANSCRIPTS}; write one, a line FILE tab TEXT for each recording")
        for place, text in decoded_lines(str(listed), read_lines(str(listed), "data.name"), self.bad):
            if text is None:
                continue
            columns = text.split("\t")
            if len(columns) != 2 or not all(column.strip() for column in columns):
                self.bad.refuse(place, "it is not FILE tab TEXT (another number of tabs, or an empty part)")
            elif not (file := folder / columns[0].strip()).is_file():
                self.bad.refuse(place, f"it names {columns[0].strip()}, which is not there")
            else:
                # however it is written: two lines of one recording belong to one split
                name = posixpath.normpath(columns[0].strip())
                lines.append(Line(place, name, file, columns[1].strip()))
        if not lines:
            raise UserError(f"{listed} names no recording; give a line FILE tab TEXT for each")
        return lines
