"""Folders of the user's own: how they are gone through, and the names that people and programs give them."""
# SPDX-License-Identifier: Apache-2.0

import os
from collections.abc import Iterator
from pathlib import Path

from jaxgen.disk import unreadable

SPLIT_FOLDERS = {  # in lower case; people write them in any
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
RUN = "experiment.json"  # which each folder of a run holds
_OF_RUNS = {"samples", "checkpoints", "events", "parts", "damaged"}
_LEFTOVERS = {"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information", "lost+found"}


def left_behind(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that archives, file managers and notebooks leave."""
    return part.startswith(".") or part.lower() in _LEFTOVERS


def walked(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk` in the order of the names, through links to folders too, but into no folder twice.

    Of a run that lies in the folder itself, what it has made is passed over: its samples are no data.
    UserError for a folder that cannot be listed: passed over it would leave a set smaller without a word.
    """
    seen = set()
    for at, folders, files in os.walk(folder, onerror=_refused, followlinks=True):
        own = os.path.realpath(at)
        if own in seen:
            folders.clear()
            continue
        seen.add(own)
        folders[:] = sorted(name for name in folders if RUN not in files or name not in _OF_RUNS)
        yield at, folders, sorted(files)


def _refused(error: OSError) -> None:
    raise unreadable(Path(error.filename), error)
