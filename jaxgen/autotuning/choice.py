"""The rule by which one of several candidates takes the place of the present one: faster by more than the noise."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jaxgen.timing.ratio import change

ROUNDS = 12  # blocks of each, in turn
SURE = 0.99  # so many bootstrap samples must lie below
WORTH = 0.97  # a smaller gain is not worth another setting

C = TypeVar("C")


@dataclass(frozen=True)
class Ratio:
    """A candidate's time over the present one's, and the interval that it lies in."""

    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, present: Sequence[float], other: Sequence[float]) -> "Ratio":
        """From both sides' times in the same rounds: what slows a round down slows both, and is divided out."""
        rounds = np.asarray(other) / np.asarray(present)
        return cls(*change(np.ones(len(rounds)), rounds, SURE))

    @property
    def faster(self) -> bool:
        return self.high < 1 and self.ratio <= WORTH


def fastest(ratios: Mapping[C, Ratio]) -> C | None:
    """The candidate to take; None where none is faster."""
    found = {candidate: ratio.ratio for candidate, ratio in ratios.items() if ratio.faster}
    return min(found, key=found.__getitem__) if found else None
