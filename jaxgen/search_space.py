"""A search: values for fields of an experiment, drawn by what earlier ones have brought, that make a figure best."""
# SPDX-License-Identifier: Apache-2.0

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgen.ablation import Budget, Member, Metric
from jaxgen.config.changes import set_fields
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, whole ones where both are; `log`: their logarithms are drawn evenly."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        if not self.low < self.high or (self.log and self.low <= 0):
            raise UserError(f"{self}: give a low that is less than high, and above 0 for log")


class Sampler(enum.Enum):
    """How values are drawn."""

    TPE = "tpe"  # tree-structured Parzen estimators (Bergstra et al. 2011), the first ten trials evenly
    RANDOM = "random"  # evenly (Bergstra and Bengio 2012)


class Pruner(enum.Enum):
    """Which trials end early, by the evaluations in training."""

    MEDIAN = "median"  # those behind the median of the others at that step (Golovin et al. 2017)
    HYPERBAND = "hyperband"  # those behind at one of several rungs (arXiv 1603.06560)


@dataclass(frozen=True)
class Search:
    """`trials` runs of `base`, with each field of `space` set to a number of its range or one of its values.

    The figure `metric` of `jaxgen evaluate` is made best; pruners look at it in the evaluations of training. Optuna
    (arXiv 1907.10902, extra `optuna`) draws and prunes.
    """

    base: Experiment
    space: Mapping[str, Range | Sequence[Any]]
    metric: Metric
    trials: int = 20
    budget: Budget | None = None
    sampler: Sampler = Sampler.TPE
    pruner: Pruner | None = None
    seed: int = 0

    def __post_init__(self):
        if self.trials < 1:
            raise UserError(f"trials is {self.trials}; give at least 1")
        if not self.space:
            raise UserError("the space has no fields; give one or more, as in {'data.batch_size': (16, 32)}")
        for field, values in self.space.items():
            if not isinstance(values, Range) and not len(values):
                raise UserError(f"the field {field!r} has no values; give it one or more, or leave it out")
        for values in ("first", "last"):  # UserError where a field or a value is none
            self.trial(0, {field: _end(of, values == "first") for field, of in self.space.items()})

    def trial(self, number: int, values: Mapping[str, Any]) -> Member:
        """The run with these values."""
        settings = [f"{field}={value}" for field, value in values.items()]
        try:
            experiment = set_fields(self.base, settings)
        except UserError as error:
            raise UserError(str(error).replace("--set ", "the space's ", 1)) from None
        levels = {field: str(value) for field, value in values.items()}
        return Member(trial_name(number), levels, {"trial": str(number)}, "", settings, experiment)


def trial_name(number: int) -> str:
    """Its run's folder."""
    return f"trial-{number:04}"


def _end(values: Range | Sequence[Any], first: bool) -> Any:
    if isinstance(values, Range):
        return values.low if first else values.high
    return word(values[0 if first else -1])


def word(value: Any) -> Any:
    """A value as Optuna keeps it: numbers and words as they are, members of enumerations and classes by their names."""
    if isinstance(value, bool | int | float | str):
        return value
    return value.name if isinstance(value, enum.Enum) else value.__name__ if isinstance(value, type) else str(value)
