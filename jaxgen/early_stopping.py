"""Which runs of an ablation end before their steps are done: those that stand behind the others in training."""
# SPDX-License-Identifier: Apache-2.0

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxgen.errors import UserError

Curve = Mapping[int, float]  # a figure of the evaluations in training by their steps, lower being better


@dataclass(frozen=True)
class MedianStopping:
    """Ends a run whose best figure so far is worse than the median of what the others had on average until this step.

    D. Golovin et al. 2017, Google Vizier (KDD), section 3.2.2. It needs `among` others that came as far.
    """

    after: int = 0  # steps that every run takes
    among: int = 4

    def __post_init__(self):
        if self.among < 1 or self.after < 0:
            raise UserError(f"MedianStopping(after={self.after}, among={self.among}): give 0 or more, and at least 1")

    def ends(self, own: Curve, others: Sequence[Curve]) -> bool:
        """At the newest evaluation of `own`."""
        step = max(own)
        means = [_mean(curve, step) for curve in others if max(curve, default=-1) >= step]
        return step > self.after and len(means) >= self.among and _best(own) > statistics.median(means)


@dataclass(frozen=True)
class SuccessiveHalving:
    """Lets at `first` steps, and each `factor` times as many, only the best 1/`factor` of the runs go on.

    Of those that have come there so far, which needs no run to wait for another (ASHA, arXiv 1810.05934, as Ray Tune
    has it); the figure is that of the first evaluation from there on.
    """

    first: int  # steps
    factor: int = 3

    def __post_init__(self):
        if self.first < 1 or self.factor < 2:
            raise UserError(
                f"SuccessiveHalving(first={self.first}, factor={self.factor}): give at least 1 step, and a factor of 2"
            )

    def ends(self, own: Curve, others: Sequence[Curve]) -> bool:
        """At the newest evaluation of `own`."""
        step = max(own)
        if step < self.first:
            return False
        rung = self.first
        while rung * self.factor <= step:
            rung *= self.factor
        if _first_from(own, rung) != step:  # it was judged there before
            return False
        figure = _finite(own[step])
        there = [_finite(curve[at]) for curve in others if (at := _first_from(curve, rung)) is not None]
        return sum(other < figure for other in there) >= math.ceil((len(there) + 1) / self.factor)


EarlyStopping = MedianStopping | SuccessiveHalving


def _finite(figure: float) -> float:
    """What is not a number is worse than every number."""
    return math.inf if math.isnan(figure) else figure


def _best(curve: Curve) -> float:
    return min(map(_finite, curve.values()))


def _mean(curve: Curve, step: int) -> float:
    return statistics.fmean(_finite(figure) for at, figure in curve.items() if at <= step)


def _first_from(curve: Curve, rung: int) -> int | None:
    return min((at for at in curve if at >= rung), default=None)
