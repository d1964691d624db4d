"""A run's folder in which nothing was trained: another experiment takes it over, or it is left as it was found."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxgen.config.comparison import differences
from jaxgen.running.changed_data import CHECKED
from jaxgen.running.data_info import DATA
from jaxgen.running.other_runs import DIGESTS, PARTS
from jaxgen.running.resuming import CHANGES
from jaxgen.running.starting import START
from jaxgen.training.checkpoint_files import FOLDER, saved_steps
from jaxgen.training.folder import (
    ENVIRONMENT,
    EXPERIMENT,
    LOCK,
    METRICS,
    STOPPED,
    SUMMARY,
    TIMING,
    RunFolder,
    lines_of,
    read_json,
)

_OF_THE_DATA = (DATA, START, CHECKED)  # made again from the experiment, as its data are now
_FILES = (EXPERIMENT, ENVIRONMENT, *_OF_THE_DATA, CHANGES, METRICS, TIMING, SUMMARY)
_FOLDERS = ("samples", FOLDER, "events", PARTS)


def nothing_trained(workdir: Path) -> bool:
    """Whether a folder holds no checkpoint, not even a damaged one, no line of a training step, no word of an end."""
    left = any((workdir / name).exists() for name in ("damaged", STOPPED))
    return not (left or saved_steps(workdir) or lines_of(workdir / METRICS))


def take_over(workdir: Path, document: Mapping[str, Any]) -> str | None:
    """Make a folder in which an experiment was begun and nothing trained ready for the one that `document` tells.

    Returns what the user should know of it. Only files that jaxgen has written are removed.
    """
    before = read_json(workdir / EXPERIMENT)
    if not isinstance(before, dict) or set(before) != set(document) or not nothing_trained(workdir):
        return None  # another program's file of that name, too, is left alone
    other = before != document
    folder = RunFolder(workdir)  # no other process has it
    try:
        if nothing_trained(workdir):
            _remove(folder, _FILES if other else _OF_THE_DATA, _FOLDERS if other else ())
    finally:
        folder.close()
    if not other:
        return None
    changed = "; ".join(differences(before, document)) or "written by another version"
    return f"nothing was trained in {workdir}, and it is begun anew with another experiment ({changed})"


def leave_as_found(folder: RunFolder) -> None:
    """Remove what this process has written into a folder where nothing was trained, and the folder if it made it."""
    if not folder.in_place or not nothing_trained(folder.path):
        return
    kept = folder.found
    names = [name for name in (*_FILES, LOCK) if name not in kept]
    with contextlib.suppress(OSError):  # what is left of it is taken over later
        _remove(folder, names, [name for name in _FOLDERS if name not in kept])
        for place in folder.made:
            place.rmdir()


def _remove(folder: RunFolder, files: Iterable[str], folders: Iterable[str]) -> None:
    """These files of a run, what jaxgen keeps in these folders, and those of them that are empty then."""
    for name in files:
        folder.drop(name)
    for name in folders:
        place = folder.path / name
        if name == PARTS:
            folder.drop(DIGESTS)
            for part in [path.parent for path in place.glob(f"*/{EXPERIMENT}")]:
                shutil.rmtree(part)
        if name == "events":
            for file in place.glob("events*"):
                file.unlink()
        with contextlib.suppress(OSError):  # it is not there, or not empty
            place.rmdir()
