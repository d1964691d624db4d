"""How much memory there is for a run, and the sentence that warns of one that will not fit."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import jax

from jaxgen.environment import free_memory
from jaxgen.running.estimate import Memory

_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def device_bytes() -> int | None:
    """The memory of one of this process's devices, bytes; None where nothing tells.

    The devices of a CPU share what the machine has free, or what its control group allows where that is less.
    """
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats()
        return None if stats is None else stats.get("bytes_limit")
    found = [size for size in (free_memory(), *map(_limit, _GROUPS)) if size is not None]
    return min(found) // jax.local_device_count() if found else None


def warning(memory: Memory, there_is: int | None) -> str | None:
    """The sentence about a run that needs more than `there_is`; None when it fits, or when that is not known."""
    if there_is is None or memory.total <= there_is:
        return None
    return (
        f"this run needs about {told(memory.total)} of each device and there are {told(there_is)}: it may fail for "
        "want of memory; lower data.batch_size, raise accumulate, or spread it over more devices (--mesh fsdp=N)"
    )


def told(size: int) -> str:
    """Bytes as people say them: 999 B, 1.2 kB, 3.4 GB."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def _limit(file: Path) -> int | None:
    """A control group's limit, which stands in a file of its own or is the word `max`."""
    try:
        text = file.read_text().strip()
    except OSError:  # no such group
        return None
    return int(text) if text.isdecimal() else None
