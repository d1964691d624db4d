"""Reading from disks that fail for a while, as those of a network do: tried again, then told in one sentence."""
# SPDX-License-Identifier: Apache-2.0

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from jaxgen.errors import UserError

R = TypeVar("R")
WAITS = (0.5, 2.0, 8.0)  # seconds before the second attempt, the third and the fourth

ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # the disk has answered: there is no such file
_ANSWERED = (*ABSENT, PermissionError)  # a further attempt would get the same answer


# Errors of a disk rather than of a file: TensorStore, which reads arrays, tells them as text alone.
_OF_DISKS = ("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EREMOTEIO", "ENOTCONN", "ECONNRESET", "ECONNREFUSED", "ENETDOWN")
_OF_DISKS += ("ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH")
_WORDS = tuple(os.strerror(getattr(errno, name)) for name in _OF_DISKS if hasattr(errno, name))


def passing(error: BaseException) -> str | None:
    """The words for an error of reading that may be gone at the next attempt; None for an answer of the disk."""
    if isinstance(error, OSError):
        return None if isinstance(error, _ANSWERED) else error.strerror or str(error)
    return next((words for words in _WORDS if words in str(error)), None)


def retried(read: Callable[[], R]) -> R:
    """What `read` returns, tried again after growing waits while the disk fails. Raises the last error as it is."""
    for wait in WAITS:
        try:
            return read()
        except Exception as error:
            if passing(error) is None:
                raise
        time.sleep(wait)
    return read()


def read_bytes(path: Path) -> bytes:
    """A file's bytes. UserError where the disk gives none; one of `ABSENT` where there is no such file."""
    try:
        return retried(path.read_bytes)
    except ABSENT:
        raise
    except OSError as error:
        raise unreadable(path, error) from None


def read_text(path: Path) -> str:
    """A file of jaxgen's own as text, UTF-8 everywhere, other bytes replaced. Otherwise as `read_bytes`."""
    return read_bytes(path).decode("utf-8", errors="replace")


def unreadable(path: Path, error: OSError) -> UserError:
    """The sentence for a file or folder that the disk does not give."""
    return UserError(
        f"{path} cannot be read ({error.strerror or error}); nothing was changed: see to that disk, and run the same "
        "command again"
    )
