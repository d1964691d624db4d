"""Figures of runs with several seeds: means and differences with their intervals, paired, and many tests corrected."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of `count` values and where it lies with a confidence of 95 %; of one value that is not known (nan)."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Effect:
    """A mean difference within pairs; `p` is the two-sided paired t-test's, nan for one pair."""

    difference: Interval
    p: float


def interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of values [N] from one normal distribution (Student 1908); N at least 1."""
    found = np.asarray(values, np.float64)
    count, mean = len(found), float(found.mean())
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    half = _quantile(count) * float(found.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def _quantile(count: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1))


def effect(before: Sequence[float], after: Sequence[float]) -> Effect:
    """How much larger `after` is than `before`, value by value [N] each, both of the same seeds in the same order."""
    from scipy import stats

    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    found = interval(differences)
    if found.count < 2:
        return Effect(found, math.nan)
    spread = differences.std(ddof=1) / math.sqrt(found.count)
    if spread == 0:  # the same difference for every seed
        return Effect(found, 0.0 if found.mean else 1.0)
    return Effect(found, float(2 * stats.t.sf(abs(found.mean) / spread, found.count - 1)))


def holm(ps: Sequence[float]) -> list[float]:
    """The p values of M tests, raised so that all below α are wrong together with at most α (Holm 1979); nan stays.

    In ascending order the k-th of M is multiplied by M - k + 1, and none is below one before it.
    """
    known = sorted((p, place) for place, p in enumerate(ps) if not math.isnan(p))
    raised, least = list(ps), 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        raised[place] = least
    return raised
