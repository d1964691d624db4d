"""An optimiser, a schedule and an average of one's own, frozen dataclasses each.

    jaxgen train --config docs/examples/own_optimiser.py --workdir runs/own_optimiser
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import jax
import optax

from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Every, Experiment
from jaxgen.training.schedules import rate_of
from jaxgen.types import Params


@dataclass(frozen=True)
class Stairs:
    """A schedule: halved after four updates."""

    high: float = 1.0

    def build(self, updates: int) -> optax.Schedule:
        return optax.piecewise_constant_schedule(self.high, {4: 0.5})


@dataclass(frozen=True)
class SignDescent:
    """An optimiser: each parameter moves by the rate, against its gradient's sign. A number is a rate as well."""

    rate: Stairs | float = Stairs()

    def build(self, updates: int) -> optax.GradientTransformation:
        return optax.chain(optax.scale_by_sign(), optax.scale_by_learning_rate(rate_of(self.rate, updates)))


@dataclass(frozen=True)
class Newest:
    """An average: half of what it was, half of what the parameters are."""

    def update(self, average: Params, params: Params, step: jax.Array, batch_size: int) -> Params:
        return jax.tree.map(lambda a, p: (a + p) / 2, average, params)


def experiment() -> Experiment:
    mixture = load_experiment(Path(__file__).with_name("own_task.py"), Experiment)
    return dataclasses.replace(
        mixture,
        optimisers={"likelihood": SignDescent(Stairs(0.3))},
        averages={"new": Newest()},
        data=dataclasses.replace(mixture.data, batch_size=16),
        steps=10,
        steps_per_call=2,
        keep=5,
        every=Every(log=2, evaluate=10, sample=10, checkpoint=2),
    )
