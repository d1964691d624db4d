"""Training programs that runs of one process share which differ in seed, start and learning rates alone."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

import jax

from jaxgen.core.state import TrainState
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly
from jaxgen.training.loop import Stopwatch
from jaxgen.training.optimisers import SHIPPED
from jaxgen.training.schedules import peak_of, with_peak


class SharedPrograms:
    """Compiled programs by the experiment that they were compiled for, without what is a leaf of the state."""

    runs, shown = 1, True  # of one run, which shows its own progress

    def __init__(self):
        self._held: list[tuple[Experiment, Any, jax.stages.Compiled]] = []

    def stopwatch(self, seconds: float) -> Stopwatch:
        """A run's, which pauses with no other."""
        return Stopwatch(seconds)

    def program(self, assembly: Assembly, state: TrainState, batches: Any, traced: bool) -> jax.stages.Compiled:
        """The training program for such a run and such arguments, compiled where none was."""
        experiment, shapes = alike(assembly.experiment), shapes_of_arguments(state, batches)
        found = next((program for of, kept, program in self._held if kept == shapes and of == experiment), None)
        if found is None:
            how = traced, assembly.loops, assembly.parts
            found = assembly.devices.lower(assembly.game, state, batches, *how).compile()
            self._held.append((experiment, shapes, found))
        return found


def alike(experiment: Experiment) -> Experiment:
    """The experiment without what is a leaf of the state, or told by its shapes: runs alike in it share a program."""
    optimisers = {name: _with_rate_of_one(optimiser) for name, optimiser in experiment.optimisers.items()}
    data = experiment.data  # a run that goes on has kept their sizes
    data = dataclasses.replace(data) if dataclasses.is_dataclass(data) else data
    return dataclasses.replace(experiment, seed=0, start=None, optimisers=optimisers, data=data)


def _with_rate_of_one(optimiser: Any) -> Any:
    if type(optimiser) not in SHIPPED or not peak_of(optimiser.learning_rate):  # one's own may use its rate otherwise
        return optimiser
    return dataclasses.replace(optimiser, learning_rate=with_peak(optimiser.learning_rate, 1.0))


def shapes_of_arguments(*arguments: Any) -> tuple:
    """What two calls must have in common to be those of one program."""
    leaves, tree = jax.tree.flatten(arguments)
    return tree, tuple((leaf.shape, leaf.dtype, getattr(leaf, "sharding", None)) for leaf in leaves)
