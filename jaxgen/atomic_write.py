"""Writing files whole or not at all, and under names that are new."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import itertools
import os
import tempfile
from pathlib import Path


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Put `content` at `path` in one move: a reader sees the old file or the new one, never a half.

    A full disk or a kill leaves the old file as it was. Raises OSError as the system gives it.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def new_file(folder: Path, stem: str, suffix: str) -> Path:
    """An empty file STEM-N.SUFFIX, N the first for which it and STEM-N.txt are not there: no other process gets it too.

    Raises OSError as the system gives it.
    """
    for number in itertools.count(1):
        place = folder / f"{stem}-{number}.{suffix}"
        if place.with_suffix(".txt").exists():
            continue
        try:
            place.touch(exist_ok=False)
        except FileExistsError:
            continue
        return place


def _umask() -> int:
    """The process's mask, which the system tells only to who sets it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
