"""A program's arithmetic intensity, FLOPs a byte of memory, as the roofline model has it (Williams et al. 2009)."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax


def intensity(program: Any) -> float | None:
    """By XLA's cost analysis of a compiled program; None where it tells nothing of this one.

    Operations of all kinds over "bytes accessed": what each fused operation reads and writes, whether or not it lies in
    a cache, so that what memory is really asked for may be less. XLA counts the body of a loop once, in both: where one
    part of a program runs in a loop and another does not, the ratio weighs the two wrongly.
    """
    costs = (program.cost_analysis() if isinstance(program, jax.stages.Compiled) else None) or {}
    flops, moved = (costs.get(name, 0.0) for name in ("flops", "bytes accessed"))
    return flops / moved if flops > 0 and moved > 0 else None


def attainable(intensity: float, peak: float, bandwidth: float) -> float:
    """FLOP/s under the roof of a device that multiplies at `peak` FLOP/s and moves `bandwidth` bytes/s."""
    return min(peak, bandwidth * intensity)
