"""What accelerators can do, from their makers' data sheets."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

from jaxgen.errors import UserError, nearest


@dataclass(frozen=True)
class Chip:
    """One device."""

    flops: float  # a second, dense, at the precision that JAX multiplies float32 in there by default
    half_flops: float  # in bfloat16
    link: float  # bytes a second to other devices, in one direction
    memory: float  # bytes


# By the start of `device_kind`. JAX multiplies float32 in TensorFloat-32 on NVIDIA, in float32 where there is none, in
# bfloat16 on TPUs. Links are NVLink, PCI Express where there is none, and those of TPUs within a pod.
CHIPS = {
    "NVIDIA H200": Chip(494e12, 989e12, 450e9, 141e9),
    "NVIDIA H100 PCIe": Chip(378e12, 756e12, 64e9, 80e9),
    "NVIDIA H100": Chip(494e12, 989e12, 450e9, 80e9),
    "NVIDIA A100": Chip(156e12, 312e12, 300e9, 40e9),  # or 80e9 of memory
    "NVIDIA L4": Chip(60e12, 121e12, 32e9, 24e9),
    "Tesla V100": Chip(15.7e12, 15.7e12, 150e9, 16e9),  # without units for bfloat16, as the next; or 32e9 of memory
    "Tesla T4": Chip(8.1e12, 8.1e12, 16e9, 16e9),
    "TPU v4": Chip(275e12, 275e12, 300e9, 32e9),
    "TPU v5 lite": Chip(197e12, 197e12, 200e9, 16e9),
    "TPU v5": Chip(459e12, 459e12, 600e9, 95e9),
    "TPU v6 lite": Chip(918e12, 918e12, 448e9, 32e9),
}


def chip_of(kind: str) -> Chip | None:
    """By what JAX calls a device's kind; None for one that is not known."""
    return next((chip for start, chip in CHIPS.items() if kind.startswith(start)), None)


def named_chip(name: str) -> Chip:
    """UserError for a name that none has."""
    if name not in CHIPS:
        raise UserError(f"--on {name}: no such device is known{nearest(name, CHIPS)}")
    return CHIPS[name]
