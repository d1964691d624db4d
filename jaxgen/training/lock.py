"""The lock that keeps a second process out of a run's folder, where the system and the disk have one."""
# SPDX-License-Identifier: Apache-2.0

import errno
from pathlib import Path

from jaxgen.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class Lock:
    """Held from its making until `close`; the system frees it when the process ends in any way.

    `remark` says where there is none: then nothing keeps two processes from training in one folder but the user.
    Raises OSError where the file cannot be made, UserError where another process holds it.
    """

    def __init__(self, path: Path):
        self.remark: str | None = None
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - held until the run ends
        try:
            self._take(path.parent)
        except BaseException:
            self._file.close()
            raise

    def _take(self, folder: Path) -> None:
        if fcntl is None:
            self.remark = _unlocked(folder, "this system has no file locks")
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is training in {folder}; wait for it, or give another --workdir"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self.remark = _unlocked(folder, f"its disk has no file locks: {error.strerror}")

    def close(self) -> None:
        self._file.close()


def _unlocked(folder: Path, why: str) -> str:
    return f"{folder} is not locked ({why}); do not train in it with a second process"
