"""An experiment put together: the sized task, its game, its source and its devices."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass

import jax

from jaxgen.core.source import Between, Streamed, Traced
from jaxgen.core.state import TrainState
from jaxgen.core.task import Task
from jaxgen.experiment import Experiment
from jaxgen.training.feeds import Devices
from jaxgen.training.program import shapes_and_loops
from jaxgen.training.step import Game, init_state, make_game
from jaxgen.types import Key, Spec


@dataclass(frozen=True)
class Assembly:
    """The parts of one experiment; nothing of the model or the data is allocated before it is asked for."""

    experiment: Experiment
    spec: Spec
    task: Task
    game: Game
    devices: Devices
    loops: bool  # whether several steps may go into one call here

    @functools.cached_property
    def source(self) -> Traced | Streamed | Between:
        return self.experiment.data.source()

    @property
    def key(self) -> Key:
        return jax.random.key(self.experiment.seed)

    def init(self, key: Key) -> TrainState:
        """The state before the first step; traceable."""
        return init_state(self.game, key, self.source.init(jax.random.fold_in(key, 2)))

    @property
    def steps_per_call(self) -> int:
        return 1 if not self.loops or isinstance(self.source, Between) else self.experiment.steps_per_call


def assemble(experiment: Experiment) -> Assembly:
    """Size the task to its data and make its game. UserError when the parts do not fit."""
    spec = experiment.data.spec()
    task = experiment.task.for_spec(spec)
    shapes, loops = shapes_and_loops(task.init, jax.random.key(0))
    batch_size = experiment.data.batch_size
    game = make_game(
        task, shapes.params, experiment.optimisers, experiment.averages, experiment.steps, batch_size, experiment.moves
    )
    return Assembly(experiment, spec, task, game, experiment.parallel.place(batch_size), loops)
