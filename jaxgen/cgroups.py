"""The cores that Linux lets a process use: its affinity, and the share of time that its control groups leave it."""
# SPDX-License-Identifier: Apache-2.0

import os
from collections.abc import Iterator
from pathlib import Path

_MOUNTED = "sys/fs/cgroup"


def allowed_cores(root: Path = Path("/")) -> int:
    """At least 1; a share of 2.5 cores counts as 2. `root` is where `proc` and `sys` lie."""
    affinity = len(os.sched_getaffinity(0))
    share = min(_shares(root), default=float(affinity))
    return max(1, min(affinity, int(share)))


def _shares(root: Path) -> Iterator[float]:
    """The cores of each limit that holds for this process: of its own group, and of all that this one is in."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            for group in _upwards(root / _MOUNTED, path):
                yield from _share(_text(group / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys(("cpu", controllers, "cpu,cpuacct")):
                for group in _upwards(root / _MOUNTED / mount, path):
                    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                    yield from _share([_text(group / name).strip() for name in names])


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The folders of a group and of those around it; a container may see its own as the outermost."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:count])


def _share(words: list[str]) -> Iterator[float]:
    """Of a quota and a period in microseconds; none where there is no limit ("max", or -1) or no such file."""
    if len(words) == 2 and all(word.isdecimal() and int(word) > 0 for word in words):
        yield int(words[0]) / int(words[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
