"""A search: values for fields of an experiment, drawn by what earlier ones have brought, that make a figure best."""
# SPDX-License-Identifier: Apache-2.0

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from jaxgen.ablation import Budget, Member, Metric
from jaxgen.config.changes import set_fields
from jaxgen.errors import UserError, check_kind
from jaxgen.experiment import Experiment


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, whole ones where both are; `log`: their logarithms are drawn evenly."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        numbers = all(isinstance(end, Real) and math.isfinite(end) for end in (self.low, self.high))
        if not numbers or not self.low < self.high or (self.log and self.low <= 0):
            raise UserError(f"{self}: give a low that is less than high, both finite numbers, and above 0 for log")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, Integral) and isinstance(self.high, Integral)


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
        self._refuse_other_kinds()
        if not isinstance(self.space, Mapping) or not self.space:
            raise UserError("the space has no fields; give one or more, as in {'data.batch_size': (16, 32)}")
        for field, values in self.space.items():
            _refuse_no_values(field, values)
        most = max(2 if isinstance(values, Range) else len(values) for values in self.space.values())
        for row in range(most):  # every value once: UserError where a field or a value is none
            self.trial(0, self._row(row))
        for field, values in self.space.items():
            if isinstance(values, Range):
                self._refuse_fractions(field, values)

    def _refuse_other_kinds(self) -> None:
        """UserError where a setting beside the space is of another kind."""
        if not isinstance(self.base, Experiment):
            raise UserError(f"base is a value of type {type(self.base).__name__}; give an Experiment")
        check_kind("metric", self.metric, Metric, "give one Metric, as Metric('bits_per_dim')")
        if not isinstance(self.trials, Integral) or self.trials < 1:
            raise UserError(f"trials is {self.trials!r}; give a whole number from 1 on")
        of_what = "say of what, as Steps(200), Elements(1e6), Flops(1e12) or Seconds(60)"
        check_kind("budget", self.budget, Budget | None, of_what)
        check_kind("sampler", self.sampler, Sampler, f"give {_members(Sampler)}")
        check_kind("pruner", self.pruner, Pruner | None, f"give {_members(Pruner)}, or None")
        if not isinstance(self.seed, Integral) or self.seed < 0:
            raise UserError(f"seed is {self.seed!r}; give a whole number from 0 on")

    def _row(self, row: int) -> dict[str, Any]:
        """Each field's value of that place, or its last one."""
        return {field: _value(values, row) for field, values in self.space.items()}

    def _refuse_fractions(self, field: str, values: Range) -> None:
        """UserError where a range ends in whole numbers as 8.0, and its field takes no others."""
        if values.whole or not (float(values.low).is_integer() and float(values.high).is_integer()):
            return
        try:
            self.trial(0, self._row(0) | {field: math.nextafter(values.low, values.high)})
        except UserError:
            whole = replace(values, low=int(values.low), high=int(values.high))
            raise UserError(
                f"the space's {field} takes no numbers between the whole ones of {values}; give {whole}"
            ) from None

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


def _refuse_no_values(field: str, values: Any) -> None:
    if isinstance(values, Range):
        return
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise UserError(f"the field {field!r} has {values!r}; give it a Range, or values in brackets, as (16, 32)")
    if not values:
        raise UserError(f"the field {field!r} has no values; give it one or more, or leave it out")


def _value(values: Range | Sequence[Any], row: int) -> Any:
    if isinstance(values, Range):
        return values.low if row == 0 else values.high
    return word(values[min(row, len(values) - 1)])


def _members(kind: type[enum.Enum]) -> str:
    return " or ".join(f"{kind.__name__}.{member.name}" for member in kind)


def word(value: Any) -> Any:
    """A value as Optuna keeps it: numbers and words as they are, members of enumerations and classes by their names."""
    if isinstance(value, bool | int | float | str):
        return value
    return value.name if isinstance(value, enum.Enum) else value.__name__ if isinstance(value, type) else str(value)
