"""Where the examples of a set live while a run reads them, and which place suits how many of them."""
# SPDX-License-Identifier: Apache-2.0

import enum
import math

import jax

from jaxgen.environment import free_memory

_SHARE = 0.25  # of the memory that is free: the rest is for the model and its activations


class Residence(enum.Enum):
    """In the device's memory, gathered inside the program; in the host's, streamed; or on disk, read as they come."""

    AUTO = "auto"  # the first of the three that holds them
    DEVICE = "device"
    HOST = "host"
    DISK = "disk"

    def settled(self, size: int) -> "Residence":
        """The place of a set of `size` bytes."""
        if self is not Residence.AUTO:
            return self
        if size <= _SHARE * device_memory():
            return Residence.DEVICE
        return Residence.HOST if size <= _SHARE * host_memory() else Residence.DISK


def host_memory() -> float:
    """Bytes of the host's memory that are free; where the system does not say, without end."""
    free = free_memory()
    return math.inf if free is None else free


def device_memory() -> float:
    """Bytes that are free on this process's first device; a CPU's device has the host's memory."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    return host_memory() if stats is None else stats["bytes_limit"] - stats["bytes_in_use"]
