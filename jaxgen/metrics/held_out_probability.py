"""A critic's outputs as probabilities that hold on held-out examples, and how far they hold."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxgen.metrics.unmeasured import Figures, TooFew

_LEAST = 20  # examples a side that a calibration is fitted to and reported on
_BINS = 10
_RESAMPLES = 1000
_TAILS = 2.5, 97.5  # percent: what is between them is an interval of 95 %
_LARGEST_LOGIT = 15.0


@dataclass(frozen=True)
class Calibration:
    """p = sigmoid(slope (output - middle)): how likely `real` is, were reals and fakes equally frequent."""

    slope: float
    middle: float

    def probability(self, outputs: np.ndarray) -> np.ndarray:
        """[N] in (0, 1), rising with the outputs [N]."""
        logits = self.slope * (np.asarray(outputs, np.float64) - self.middle)
        return 1 / (1 + np.exp(-np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)))


def fitted(real: np.ndarray, fake: np.ndarray) -> Calibration:
    """The calibration of outputs [N] on reals and [N] on fakes by logistic regression (Platt, 1999).

    Two parameters: an isotonic fit has as many as it finds steps, and from the few hundred pictures that can be held
    out it is the worse of the two (Niculescu-Mizil and Caruana, 2005, figure 9: below some thousand). A higher output
    never means a lower probability: where a line would fall, all are 1/2. TooFew for less than 20 of a kind.
    """
    from sklearn.linear_model import LogisticRegression

    if min(len(real), len(fake)) < _LEAST:
        raise TooFew(f"a probability is calibrated on at least {_LEAST} held-out examples: {len(real)}")
    outputs = np.concatenate([real, fake]).astype(np.float64)
    middle, spread = np.median(outputs), max(float(outputs.std()), 1e-12)
    labels = np.repeat([1, 0], [len(real), len(fake)])
    line = LogisticRegression(C=100.0, class_weight="balanced").fit(((outputs - middle) / spread)[:, None], labels)
    slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    if slope <= 0:
        return Calibration(0.0, float(middle))
    return Calibration(slope / spread, float(middle - offset * spread / slope))


@dataclass(frozen=True)
class Bin:
    """Examples of about one probability: its mean, the share that is real, and how many they are."""

    probability: float
    real: float
    count: int


def reliability(probability: np.ndarray, real: np.ndarray) -> list[Bin]:
    """Ten bins of equally many examples, by rising probability; equal probabilities share a bin."""
    edges = np.unique(np.quantile(probability, np.arange(1, _BINS) / _BINS))
    which = np.searchsorted(edges, probability, side="left")
    counts, *sums = (np.bincount(which, weights) for weights in (None, probability, real))
    filled = [(p / count, r / count, count) for count, p, r in zip(counts, *sums, strict=True) if count]
    return [Bin(float(p), float(r), int(count)) for p, r, count in filled]


def calibration_error(probability: np.ndarray, real: np.ndarray) -> float:
    """The mean distance of a bin's probability from its share of reals (ECE, eq. 3 of arXiv 1706.04599)."""
    bins = reliability(probability, real)
    return float(np.average([abs(one.probability - one.real) for one in bins], weights=[one.count for one in bins]))


def errors_by_chance(probability: np.ndarray, seed: int = 0, draws: int = 200) -> np.ndarray:
    """[draws] calibration errors of as many examples whose probabilities are exactly right: what chance alone makes.

    That is consistency resampling (Broecker and Smith, 2007).
    """
    generator = np.random.default_rng(seed)
    sets = generator.random((draws, len(probability))) < probability
    return np.array([calibration_error(probability, one.astype(float)) for one in sets])


def brier_score(of_real: np.ndarray, of_fake: np.ndarray) -> float:
    """The mean squared distance of probabilities from what is so, over both kinds; 0.25 for who always says 1/2."""
    return float(np.mean((1 - of_real) ** 2) + np.mean(of_fake**2)) / 2


def auc(above: np.ndarray, below: np.ndarray) -> float:
    """How often one of `above` [N] has the higher output than one of `below` [M]; half for equals (Mann-Whitney)."""
    ordered = np.sort(below)
    lower, upper = (np.searchsorted(ordered, above, side) for side in ("left", "right"))
    return float((lower + upper).mean() / (2 * len(below)))


def interval(figure: Callable[..., float], *sets: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % of a figure's values over resampled rows (the percentile bootstrap); the sets [N] are paired by row."""
    generator, count = np.random.default_rng(seed), len(sets[0])
    picks = generator.integers(0, count, (_RESAMPLES, count))
    low, high = np.percentile([figure(*(one[rows] for one in sets)) for rows in picks], _TAILS)
    return float(low), float(high)


def interval_of_error(of_real: np.ndarray, of_fake: np.ndarray, by_chance: np.ndarray) -> tuple[float, float]:
    """95 % for the calibration error of probabilities [N] of reals and [N] of fakes: the basic bootstrap, from 0 up.

    In bins of few examples the error of a sample is larger than the true one (arXiv 1909.10155; 2012.08668, section 3),
    and that of its resamples is larger again by about as much. So the percentiles are mirrored at the sample's error,
    which takes the bias away as far as resamples show it. They show too little of it where the probabilities are right:
    the interval begins at 0 unless the error is above 97.5 % of the errors `by_chance`.
    """

    def error(of_real: np.ndarray, of_fake: np.ndarray) -> float:
        return calibration_error(*_labelled(of_real, of_fake))

    found = error(of_real, of_fake)
    low, high = interval(error, of_real, of_fake)
    surely = found > np.percentile(by_chance, _TAILS[1])
    return max(0.0, 2 * found - high) if surely else 0.0, max(0.0, 2 * found - low)


def _labelled(of_real: np.ndarray, of_fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both kinds in one array, and 1 for each real and 0 for each fake."""
    return np.concatenate([of_real, of_fake]), np.repeat([1.0, 0.0], [len(of_real), len(of_fake)])


def told_of(calibration: Calibration, real: np.ndarray, fake: np.ndarray, spoilt: dict[str, np.ndarray]) -> Figures:
    """How far a calibration holds for outputs [N] on other reals, on fakes, and on reals spoilt in some ways."""
    p_real, p_fake = calibration.probability(real), calibration.probability(fake)
    both, labels = _labelled(p_real, p_fake)
    by_chance = errors_by_chance(both)
    low, high = interval_of_error(p_real, p_fake, by_chance)
    figures: Figures = {
        "calibrated_p_real": float(p_real.mean()),
        "calibrated_p_fake": float(p_fake.mean()),
        "calibration_error": calibration_error(both, labels),
        "calibration_error/low": low,
        "calibration_error/high": high,
        "calibration_error/by_chance": float(by_chance.mean()),
    }

    def add(name: str, figure: Callable[..., float], *sets: np.ndarray) -> None:
        low, high = interval(figure, *sets)
        figures.update({name: figure(*sets), f"{name}/low": low, f"{name}/high": high})

    add("brier_score", brier_score, p_real, p_fake)
    for kind, outputs in {"fake": fake, **spoilt}.items():
        add(f"auc_real_against_{kind}", auc, real, outputs)
    return figures
