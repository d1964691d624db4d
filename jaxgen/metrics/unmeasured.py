"""Figures that cannot be had of so few examples: a reason stands in the place of the number."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jaxgen.errors import UserError


@dataclass(frozen=True)
class Unmeasured:
    """Why a figure has no number: null in JSON, a dash in the report."""

    reason: str


class TooFew(UserError):
    """A figure was asked for of fewer examples than it is defined for."""


Figure = float | str | Unmeasured
Figures = dict[str, Figure]


def measured(figure: Callable[[], float]) -> float | Unmeasured:
    """The number that `figure` computes, or its reason where there are too few examples."""
    try:
        return figure()
    except TooFew as error:
        return Unmeasured(str(error))


def none_of(names: Iterable[str], reason: str) -> Figures:
    """Figures of these names, all missing for one reason."""
    return dict.fromkeys(names, Unmeasured(reason))
