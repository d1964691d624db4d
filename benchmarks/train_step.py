"""The training step of experiments: jit and pmap, single and scanned steps, one device and several, by batch size.

    jaxgen bench train_step [CONFIG ...] [--set FIELD=VALUE ...] [--batch 16 64 ...]

Without a CONFIG: configs/FAMILY/digits.py of all five families. Losses and gradient norms over the same first steps
from the same state are compared first, then blocks of `--steps` steps are timed in turn. A device is a core on a CPU.
Compile times are cold: no compiled program is kept, but single and scanned calls of resident data are one program.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace

from chosen import add_experiments, experiment_of, facts_of, names
from results import ended, parser, race, report, set_up
from training import Shared, contestant, devices_told, most_devices, training_does

from jaxgen.running.assembly import assemble
from jaxgen.timing.contest import Row
from jaxgen.training.parallel import Compiler


def experiment_row(changes: Sequence[str], steps: int, blocks: int, config: str, batch: int | None) -> Row:
    """Every way to run the experiment's step here; on several devices as many as the batch divides by."""
    experiment = experiment_of(config, changes, batch)
    loops, does = assemble(experiment).loops, training_does(experiment)
    size = experiment.data.batch_size
    several = most_devices(size)
    ways = [(devices, Compiler.JIT) for devices in dict.fromkeys((1, several))]
    ways += [(several, Compiler.PMAP)] if several > 1 else []
    contestants, notes, shared = [], [], Shared()
    for devices, compiler in ways:
        for per_call in dict.fromkeys((1, steps if loops else 1)):
            told = "single steps" if per_call == 1 else f"{per_call} steps a call"
            name = f"{devices_told(devices)}, {compiler.value}, {told}"
            contestants.append(contestant(name, experiment, devices, per_call, steps, compiler, does, shared))
    if not loops:
        notes.append("its network has convolutions, whose gradients a CPU runs far slower in a loop: not scanned")
    if several == 1:
        notes.append("there is one device here, so nothing was spread")
    row = race(f"{config}, training step of {size}", contestants, blocks, notes=tuple(notes))
    return replace(row, facts=facts_of(config, changes, experiment, "training step"))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 20)
    add_experiments(asked, sizes=True)
    options = asked.parse_args(arguments)
    set_up()
    how = options.set, options.steps, options.blocks
    ways = itertools.product(names(options), options.batch)
    return report([functools.partial(experiment_row, *how, *way) for way in ways], options)


if __name__ == "__main__":
    ended(main)
