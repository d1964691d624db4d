"""One run, said in full."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxgen.config.document import UNWRITTEN
from jaxgen.core.masks import Everything, Matching, Selection
from jaxgen.core.start import OnlyNew, Start
from jaxgen.core.tracker import Tracker
from jaxgen.errors import UserError
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.rewards.tuned import Tuning
from jaxgen.tracking import Trackio, WandB
from jaxgen.training.averages import AnyAverage, check_width
from jaxgen.training.checkpoint import Best
from jaxgen.training.guard import Guard
from jaxgen.training.optimisers import AnyOptimiser
from jaxgen.training.parallel import Parallel

AnyTracker = WandB | Trackio | Tracker


@dataclass(frozen=True)
class Every:
    """How many steps lie between two of each; all happen once more after the last step."""

    log: int = 50
    evaluate: int = 500
    sample: int = 500
    checkpoint: int = 500

    def __post_init__(self):
        for name, steps in vars(self).items():
            if steps < 1:
                raise UserError(
                    f"every.{name} is {steps}; give at least 1 (a number above `steps` means: only at the end)"
                )


@dataclass(frozen=True)
class Evaluated:
    """How much of a split an evaluation looks at, and of which average a run that is read back shows.

    With `samples` an evaluation in training draws so many of them and measures them as `jaxgen evaluate` does. Where a
    family sees in the figures that training goes wrong (a GAN: collapse) it says so; after so many such evaluations in
    a row as `warnings` says, the run ends.

    `against` is another run of the same kind of examples: `jaxgen evaluate` then tells how often a GAN's discriminator
    holds a real example for more real than a sample of that run, an early or another family's.

    `width` rebuilds the average of this width from those of PowerEMA in all kept checkpoints (raise `keep`); a run that
    is being trained shows its first average all the same.
    """

    examples: int | None = None  # the first so many; none: all
    width: float | None = None  # none: the first of `averages`
    samples: int | None = None  # none: in training they are not measured
    warnings: int | None = None  # none: they are only told
    against: str | None = None  # a run's folder

    def __post_init__(self):
        if self.width is not None:
            check_width(self.width)
        for name, otherwise in (("examples", "for all"), ("samples", "not to measure them"), ("warnings", "to go on")):
            if (count := getattr(self, name)) is not None and count < 1:
                raise UserError(f"evaluate.{name} is {count}; give at least 1, or none {otherwise}")


@dataclass(frozen=True)
class Patience:
    """The end of a run after `evaluations` evaluations in a row in which `metric` was no better than before.

    It looks at the validation split, never at the test split.
    """

    metric: str
    evaluations: int = 5
    lower: bool = True  # whether lower is better

    def __post_init__(self):
        if self.evaluations < 1:
            raise UserError(f"stop.evaluations is {self.evaluations}; give at least 1")

    def spent(self, values: Sequence[float]) -> bool:
        """Whether the best of the figures, in the order they were taken, lies so many evaluations back."""
        signed = [value if self.lower else -value for value in values]
        signed = [value if math.isfinite(value) else math.inf for value in signed]
        return len(signed) > self.evaluations and min(signed[-self.evaluations :]) >= min(signed[: -self.evaluations])


@dataclass(frozen=True)
class Experiment:
    """What is trained on what, how, for how long, and what is kept of it."""

    task: Any  # a Task: a family's frozen dataclass of settings
    data: Any  # Pictures, Text, Pairs ...
    optimisers: Mapping[str, AnyOptimiser]  # a turn's name -> its optimiser
    steps: int
    averages: Mapping[str, AnyAverage] = field(default_factory=dict)  # the first is what is evaluated and sampled
    steps_per_call: int = 20
    seed: int = 0
    every: Every = Every()
    keep: int = 2  # newest checkpoints
    best: Best | None = None  # a checkpoint that is kept beside them
    stop: Patience | None = None  # the end of the run before `steps`, where nothing gets better
    evaluate: Evaluated = Evaluated()
    start: Start | None = None  # another run whose weights this one starts from
    trainable: Everything | Matching | OnlyNew | Selection = Everything()  # what a fine-tuning moves
    # what samples are tuned toward, in place of learning from the data
    rewards: ScoreFunction | Pathwise | Tuning | None = None
    parallel: Parallel = Parallel()
    accumulate: int = 1  # parts that each batch is taken in, one after another, where it does not fit the memory whole
    guard: Guard = Guard()  # against updates that would spoil the parameters
    # who follows the run beside TensorBoard; in no experiment.json, for what is computed does not depend on it
    trackers: tuple[AnyTracker, ...] = field(default=(), metadata=UNWRITTEN)

    def __post_init__(self):
        if isinstance(self.start, str):  # as experiment.json held it before there were surgeries
            object.__setattr__(self, "start", Start(self.start))
        for name in ("steps", "steps_per_call", "keep", "accumulate"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; give at least 1")

        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed is {self.seed}; give a number from 0 to {2**32 - 1}")

    @property
    def shown(self) -> str | None:
        """The average that evaluation and samples use; None: the parameters themselves."""
        return next(iter(self.averages), None)
