"""What fine-tuning a few layers saves: step time and optimiser's bytes of a config and of its head, beside full tuning.

    MULTI30K_DIR=... python benchmarks/fine_tuning.py configs/transformer/multi30k_fine_tune.py

All sides begin with the same parameters and take the same batch in every step: the time of a step does not depend on
their values. The losses are compared first; refused are optimiser leaves of a frozen parameter.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import replace

import jax
import numpy as np
from results import ended, parser, race, report, set_up

from jaxgen.config.reading import load_experiment
from jaxgen.core.data import Streamed
from jaxgen.core.masks import Everything, Matching, by_path, paths, split
from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.timing.contest import Compiling, Contestant, Refused, Row, Work
from jaxgen.training.parallel import Parallel

STEPS = 10  # of a block


def one_batch(assembly: Assembly, state: TrainState) -> tuple:
    """The first batch of the data, [STEPS, B, ...], the same in every step."""
    devices = assembly.devices
    if not isinstance(assembly.source, Streamed):
        raise UserError(f"{assembly.data.name} is no streamed set; give a config whose data are Pairs")
    first = next(iter(assembly.source.stream(state.source, 0, devices.rows)))
    repeated = jax.tree.map(lambda array: np.stack([array] * STEPS), first)
    return (devices.put_feed(repeated, traced=False),) * assembly.game.draws


def contestant(name: str, assembly: Assembly, state: TrainState) -> Contestant:
    """Training by this assembly from the state on."""

    def prepare(compiling: Compiling) -> Work:
        held, batches = [state], one_batch(assembly, state)
        with compiling():
            program = assembly.devices.lower(assembly.game, state, batches, False, assembly.loops).compile()

        def block() -> TrainState:
            held[0], metrics = program(held[0], batches, np.int32(STEPS))
            return metrics

        held[0], first = program(held[0], batches, np.int32(1))
        return Work(block, STEPS, {"loss": first["loss"].total / first["loss"].weight})

    return Contestant(name, prepare)


def optimiser_bytes(state: TrainState) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state.opt_state))


def refuse_frozen_moments(assembly: Assembly, state: TrainState) -> None:
    """Refused where the optimiser holds something of a parameter that does not move."""
    _, frozen = split(state.params, assembly.game.moving(state.params))
    found = [path for path in by_path(state.opt_state) if path.endswith(tuple(f"/{name}" for name in paths(frozen)))]
    if found:
        raise Refused(f"the optimiser holds {found[0]}, of a frozen parameter")


def row(config: str, devices: int, blocks: int) -> Row:
    tuned = replace(load_experiment(config, Experiment), start=None, parallel=Parallel(data=devices))
    contestants, notes = [], []
    sides = {"all parameters": Everything(), "those of the config": tuned.trainable, "the head": Matching("^head/")}
    for name, trainable in sides.items():
        assembly = assemble(replace(tuned, trainable=trainable))
        state = assembly.devices.begin(assembly.init, assembly.key, None)
        refuse_frozen_moments(assembly, state)
        moving = assembly.game.moving_size(state.params)
        notes.append(f"{name}: {moving:,} parameters move; the optimiser holds {optimiser_bytes(state):,} bytes")
        contestants.append(contestant(name, assembly, state))
    title = f"{'/'.join(config.split('/')[-2:])}, {devices} device{'s' * (devices > 1)}"
    return race(title, contestants, blocks, tolerance=1e-5, notes=tuple(notes))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10)
    asked.add_argument("configs", nargs="+", metavar="CONFIG", help="fine-tuning experiments on streamed data")
    asked.add_argument("--devices", type=int, default=2, help="that the batch is cut over (%(default)s)")
    options = asked.parse_args(arguments)
    set_up()
    how = options.devices, options.blocks
    return report([functools.partial(row, config, *how) for config in options.configs], options)


if __name__ == "__main__":
    ended(main)
