"""How fast devices of a known kind may go: what their makers publish, and the share of it that training reaches."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax

UTILISATION = 0.3  # of the published peak: an assumption, not a measurement; small networks reach far less
CPU_CORE = 2e10  # FLOP/s: what the small networks of configs/ reach on a core

# The start of `device_kind` -> dense FLOP/s of one device, at the precision that JAX multiplies float32 in there by
# default (TensorFloat-32 on NVIDIA, float32 where there is none; bfloat16 on TPUs), and in bfloat16. From the makers'
# data sheets.
PEAKS = {
    "NVIDIA H200": (494e12, 989e12),
    "NVIDIA H100 PCIe": (378e12, 756e12),
    "NVIDIA H100": (494e12, 989e12),
    "NVIDIA A100": (156e12, 312e12),
    "NVIDIA L4": (60e12, 121e12),
    "Tesla V100": (15.7e12, 15.7e12),  # without units for bfloat16, as the next
    "Tesla T4": (8.1e12, 8.1e12),
    "TPU v4": (275e12, 275e12),
    "TPU v5 lite": (197e12, 197e12),
    "TPU v5": (459e12, 459e12),
    "TPU v6 lite": (918e12, 918e12),
}


@dataclass(frozen=True)
class Rate:
    """FLOP/s of a device, of products in bfloat16 apart, and where the figures are from."""

    flops: float
    half_flops: float
    source: str


def assumed_rate(device: jax.Device) -> Rate | None:
    """What a device of this kind may be expected to do; None for a kind that is not known."""
    if device.platform == "cpu":
        return Rate(CPU_CORE, CPU_CORE, "what small networks reach on one CPU core")
    found = next((peaks for kind, peaks in PEAKS.items() if device.device_kind.startswith(kind)), None)
    if found is None:
        return None
    return Rate(*(UTILISATION * peak for peak in found), f"{UTILISATION:.0%} of the maker's figures")
