"""The peak of memory above a moment's: the process's own on a CPU, the device's where it keeps count."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import ctypes
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

import jax


@dataclass(frozen=True)
class Mark:
    """The bytes in use and the highest they had ever been (since a reset), at a moment."""

    used: int
    peak: int


def mark() -> Mark | None:
    """This moment, before the work whose peak is asked for; None where the system tells nothing."""
    gc.collect()
    if jax.default_backend() == "cpu":
        _give_back()
        if _forget_peak() and (now := _now()):
            return Mark(now.used, now.used)  # pages given back since then are no peak of earlier work
    return _now()


def peak_above(before: Mark | None) -> int | None:
    """The highest that memory has been above `before`, bytes.

    On a CPU it is resident memory. None where the peak cannot be set back, as a device's own cannot, and earlier work
    stood higher than this has since.
    """
    now = _now()
    if before is None or now is None or now.peak == before.peak > before.used:
        return None
    return max(0, now.peak - before.used)


def _now() -> Mark | None:
    if jax.default_backend() == "cpu":
        return _resident()
    stats = jax.local_devices()[0].memory_stats()
    return None if stats is None else Mark(stats["bytes_in_use"], stats["peak_bytes_in_use"])


def _resident() -> Mark | None:
    """VmRSS and VmHWM of Linux, kB there."""
    if sys.platform != "linux":
        return None
    lines = (line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    fields = {name: value for name, value in lines if name in ("VmRSS", "VmHWM")}
    used, peak = (1024 * int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return Mark(used, peak)


def _give_back() -> None:
    """What is freed goes back to the system, or else the work would use it again unseen (man 3 malloc_trim)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> bool:
    """Whether the peak begins anew: Linux sets a process's VmHWM back to VmRSS when 5 is written here (man 5 proc)."""
    with contextlib.suppress(OSError):  # another system, or a container that forbids it
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False
