"""Training programs that runs of one process share which differ in seed, start and learning rates alone."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

import jax

from jaxgen.experiment import Experiment
from jaxgen.training.optimisers import SHIPPED
from jaxgen.training.schedules import peak_of, with_peak


class SharedPrograms:
    """Compiled programs by the experiment that they were compiled for, without what is a leaf of the state."""

    def __init__(self):
        self._held: list[tuple[Experiment, Any, jax.stages.Compiled]] = []

    def find(self, experiment: Experiment, arguments: tuple) -> jax.stages.Compiled | None:
        """The program for such a run and such arguments (state, batches); None where none was kept."""
        alike, shapes = _alike(experiment), _shapes(arguments)
        return next((program for of, kept, program in self._held if kept == shapes and of == alike), None)

    def keep(self, experiment: Experiment, arguments: tuple, program: jax.stages.Compiled) -> None:
        self._held.append((_alike(experiment), _shapes(arguments), program))


def _alike(experiment: Experiment) -> Experiment:
    optimisers = {name: _with_rate_of_one(optimiser) for name, optimiser in experiment.optimisers.items()}
    return dataclasses.replace(experiment, seed=0, start=None, optimisers=optimisers)  # shapes tell the start's


def _with_rate_of_one(optimiser: Any) -> Any:
    if type(optimiser) not in SHIPPED or not peak_of(optimiser.learning_rate):  # one's own may use its rate otherwise
        return optimiser
    return dataclasses.replace(optimiser, learning_rate=with_peak(optimiser.learning_rate, 1.0))


def _shapes(arguments: tuple) -> tuple:
    leaves, tree = jax.tree.flatten(arguments)
    return tree, tuple((leaf.shape, leaf.dtype, getattr(leaf, "sharding", None)) for leaf in leaves)
