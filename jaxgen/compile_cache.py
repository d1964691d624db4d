"""The folder of compiled programs: whether it can be used, and its size kept within bounds.

JAX can bound it too, but looks at all programs whenever it adds one, needs file locks, and fails on a folder that was
filled without that setting.
"""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import time
from pathlib import Path

MOST_BYTES = 2 * 2**30
_SECONDS_BETWEEN = 3600.0  # in which the folder is not looked at again
_LOOKED_AT = ".looked-at"  # a file whose time says when it was
_PROGRAM = "-cache"  # how JAX's files of programs end


def unusable(folder: Path) -> str | None:
    """Why programs cannot be kept in a folder, which is made where there is none; None where they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written"


def bound(folder: Path, most: int = MOST_BYTES, seconds: float = _SECONDS_BETWEEN) -> None:
    """Remove the programs that were not used for longest, until those left take `most` bytes; at most once an hour.

    Other files are left alone. Several processes may do it at once, and others may read and add programs meanwhile.
    """
    mark = folder / _LOOKED_AT
    with contextlib.suppress(OSError):  # a folder that cannot be tidied still serves
        if mark.exists() and time.time() - mark.stat().st_mtime < seconds:
            return
        mark.touch()
        programs = _programs(folder)
        total = sum(size for _, size, _ in programs)
        for _, size, path in programs:
            if total <= most:
                return
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.unlink(path)
            total -= size


def _programs(folder: Path) -> list[tuple[float, int, str]]:
    """When each was last used, its bytes and its path; the one that was not used for longest first."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_PROGRAM):
                with contextlib.suppress(FileNotFoundError):
                    told = entry.stat(follow_symlinks=False)
                    found.append((max(told.st_atime, told.st_mtime), told.st_size, entry.path))
    return sorted(found)
