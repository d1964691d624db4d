"""A disk that fails: errors of the operating system put where files are opened and folders are listed."""
# SPDX-License-Identifier: Apache-2.0

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)  # what disks of a network answer for a while


class FailingDisk:
    """The first `times` openings (or listings) of what `concerns` says fail with `number`; `count` tells how many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, concerns: Callable[[str], bool], number: int, times: float):
        self.count, self._left = 0, times
        self._concerns, self._number = concerns, number
        opened, listed, scanned = io.open, os.listdir, os.scandir
        for module in (io, builtins):
            monkeypatch.setattr(module, "open", self._before(opened))
        monkeypatch.setattr(os, "listdir", self._before(listed))
        monkeypatch.setattr(os, "scandir", self._before(scanned))

    def _before(self, real: Callable) -> Callable:
        def checked(path=".", *arguments, **options):
            if isinstance(path, str | os.PathLike) and self._left > 0 and self._concerns(os.fspath(path)):
                self._left -= 1
                self.count += 1
                raise OSError(self._number, os.strerror(self._number), os.fspath(path))
            return real(path, *arguments, **options)

        return checked


def within(place: Path) -> Callable[[str], bool]:
    """Whether a path is `place`, or lies in it."""
    return lambda path: Path(path).absolute().is_relative_to(place.absolute())
