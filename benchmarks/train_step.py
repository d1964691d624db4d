"""The training step of each family as its configs/FAMILY/digits.py has it: single and scanned, one device and several.

    python benchmarks/train_step.py [--family rnn ...] [--steps 20] [--blocks 10]

Each family's losses and gradient norms over the same first steps from the same state are compared first, then blocks of
`--steps` steps are timed in turn. A device is a core on a CPU. Compile times are cold: no compiled program is kept.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
import sys

import jax
from harness import Row, contest, report
from training import FAMILIES, contestant, digits

from jaxgen.environment import set_up_jax
from jaxgen.running.assembly import assemble


def family_row(family: str, steps: int, blocks: int) -> Row:
    """Single and scanned steps, on one device and on as many as the machine has and the batch divides by."""
    experiment = digits(family)
    assembly = assemble(experiment)
    most = experiment.data.batch_size
    several = max(n for n in range(1, jax.device_count() + 1) if most % n == 0)
    contestants, notes = [], []
    for devices in dict.fromkeys((1, several)):
        where = "1 device" if devices == 1 else f"{devices} devices"
        contestants.append(contestant(f"{where}, single steps", experiment, devices, 1, steps))
        if assembly.loops:
            contestants.append(contestant(f"{where}, {steps} steps a call", experiment, devices, steps, steps))
    if not assembly.loops:
        notes.append("its network has convolutions, whose gradients a CPU runs far slower in a loop: not scanned")
    if several == 1:
        notes.append("there is one device here, so nothing was spread")
    return contest(f"{family}, training step", contestants, blocks, notes=tuple(notes))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=FAMILIES, help="these alone (all five)")
    parser.add_argument("--steps", type=int, default=20, help="steps a block, and a call where scanned (%(default)s)")
    parser.add_argument("--blocks", type=int, default=10, help="timed blocks of each contestant (%(default)s)")
    options = parser.parse_args()
    set_up_jax()
    jax.config.update("jax_enable_compilation_cache", False)
    rows = [functools.partial(family_row, family, options.steps, options.blocks) for family in options.family]
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())
