"""The edits of pictures that a run's folder keeps, as `jaxgen edit` and the user put them there, for the report."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxgen.reporting.artefacts import Artefact, read_artefact
from jaxgen.reporting.markup import escaped
from jaxgen.reporting.samples_figure import samples_figure

EDITS = "edits"  # the folder in a run's own
SHOWN = 8 << 20  # bytes of one run's edits that a page holds; of the others it tells the names


@dataclass(frozen=True)
class KeptEdit:
    """A file of RUN/edits; `picture` is None for a page, `command` "" where no .txt beside it tells one."""

    name: str
    picture: Artefact | None
    command: str = ""


def read_edits(folder: Path) -> tuple[KeptEdit, ...]:
    """Of a run's folder, by their names, numbers in them by their values. UserError for a file that is no picture."""
    files = [path for path in (folder / EDITS).glob("*") if path.suffix in (".png", ".gif", ".html") and path.is_file()]
    written = [path for path in files if path.stat().st_size]  # a kill may leave an empty one
    return tuple(map(_read, sorted(written, key=_by_number)))


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _read(path: Path) -> KeptEdit:
    told = path.with_suffix(".txt")
    command = told.read_text("utf-8", "replace").strip() if told.is_file() else ""
    return KeptEdit(path.name, None if path.suffix == ".html" else read_artefact(path), command)


def edits_section(edits: Sequence[KeptEdit], run: str) -> str:
    """The edits of a run as figures under a head, within a bound of bytes; "" where there are none."""
    if not edits:
        return ""
    figures, beside, left = [], [], SHOWN
    for edit in edits:
        size = len(edit.picture.content) if edit.picture else 0
        if edit.picture is None or size > left:
            beside.append(edit.name)
            continue
        left -= size
        caption = f"{edit.name}: {edit.command}" if edit.command else edit.name
        figures.append(samples_figure(edit.picture, caption, f"{edit.name}, an edit by {run}"))
    more = f"<p>Not on this page, in the run's folder {EDITS}: {escaped(', '.join(beside))}</p>" if beside else ""
    return f'<h3>Edits</h3><div class="charts">{"".join(figures)}</div>{more}'
