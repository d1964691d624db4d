"""A member of an ablation that is compared with the others while it trains, and ended where it stands behind."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from jaxgen.ablation import Metric
from jaxgen.early_stopping import Curve
from jaxgen.errors import UserError, nearest
from jaxgen.training.folder import METRICS, evaluations


class UnknownMetric(UserError):
    """A figure that no run of the same kind has: the others need not be tried."""


class Judge(Protocol):
    """Says at a run's newest evaluation whether it ends there."""

    def ends(self, own: Curve, others: Sequence[Curve]) -> bool: ...


class EarlyStop:
    """Whether a run is to stop, to be asked often: where `stopped` says so, or for good where its figures are behind.

    `ended` tells which. The others' folders may be written by other processes meanwhile.
    """

    def __init__(
        self, stopped: Callable[[], bool], by: Judge | None, metric: Metric, run: Path, others: Sequence[Path]
    ):
        self.stopped, self._by, self._metric, self._run, self._others = stopped, by, metric, run, others
        self._size = self._step = 0
        self.ended = False

    def __call__(self) -> bool:
        if self._by is None:
            return self.stopped()
        if not self.ended and (size := _size(self._run)) != self._size:
            self._size, own = size, self._curve(self._run)
            if own and max(own) > self._step:
                self._step = max(own)
                others = [curve for folder in self._others if _size(folder) and (curve := self._curve(folder))]
                self.ended = self._by.ends(own, others)
        return self.ended or self.stopped()

    def _curve(self, folder: Path) -> Curve:
        """UnknownMetric where evaluations in training have no such figure."""
        found = evaluations(folder)
        name = self._metric.name
        if found and not any(name in figures for figures in found.values()):
            raise UnknownMetric(
                f"runs are ended early by {name!r}, which evaluations in training do not have"
                f"{nearest(name, set().union(*found.values()))}; name first a figure that they have"
            )
        sign = 1 if self._metric.lower else -1
        known = {step: figures[name] for step, figures in found.items() if name in figures}
        return {step: math.nan if figure is None else sign * figure for step, figure in known.items()}


def _size(folder: Path) -> int:
    try:
        return (folder / METRICS).stat().st_size
    except FileNotFoundError:
        return 0
