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
_RUN = "experiment.json"  # which each folder of a run holds
_OF_RUNS = {"samples", "checkpoints", "events", "parts", "damaged"}
_LEFTOVERS = {"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information", "lost+found"}


def left_behind(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that archives, file managers and notebooks leave."""
    return part.startswith(".") or part.lower() in _LEFTOVERS


def walked(folder: Path, runs: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) of all below, in the order of the names; through links, but into no folder twice.

    Runs are passed over, for their samples are no data: of one that lies in the folder itself what it has made, of
    others all. Their folders are added to `runs`.
    UserError for a folder that cannot be listed: passed over it would leave a set smaller without a word.
    """
    seen = set()
    for at, folders, files in os.walk(folder, onerror=_refused, followlinks=True):
        own = os.path.realpath(at)
        if own in seen:
            folders.clear()
            continue
        seen.add(own)
        if _RUN in files and Path(at) != folder:
            folders.clear()
            runs.append(at)
            continue
        folders[:] = sorted(name for name in folders if _RUN not in files or name not in _OF_RUNS)
        yield at, sorted(files)


def _refused(error: OSError) -> None:
    raise unreadable(Path(error.filename), error)
