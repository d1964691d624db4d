"""Probabilities that hold: calibrations, errors and intervals against closed forms and simulations."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from jaxgen.metrics import held_out_probability
from jaxgen.metrics.held_out_probability import (
    Calibration,
    auc,
    brier_score,
    calibration_error,
    errors_by_chance,
    fitted,
    interval,
    interval_of_error,
    reliability,
    told_of,
)
from jaxgen.metrics.unmeasured import TooFew

REAL, FAKE = 3.0, 1.5  # means of outputs, of deviation 1 both
GENERATOR = np.random.default_rng(0)


def outputs(count: int, generator: np.random.Generator = GENERATOR) -> tuple[np.ndarray, np.ndarray]:
    noise = generator.normal(size=(2, count))
    return REAL + noise[0], FAKE + noise[1]


def test_of_two_normal_distributions_the_posterior_is_found():
    """Of N(a, 1) against N(b, 1) it is sigmoid((a - b) (x - (a + b) / 2)), whatever the counts of both are."""
    for part in (1.0, 0.25):
        real, fake = outputs(40_000)
        found = fitted(real[: int(part * 40_000)], fake)
        assert found.slope == pytest.approx(1.5, rel=0.05) and found.middle == pytest.approx(2.25, abs=0.05)


def test_scale_and_place_of_the_outputs_do_not_matter():
    real, fake = outputs(300)
    one, other = fitted(real, fake), fitted(1000 * real + 7, 1000 * fake + 7)
    np.testing.assert_allclose(other.probability(1000 * real + 7), one.probability(real), atol=1e-3)


def test_outputs_that_say_nothing_or_the_contrary_give_one_half():
    real, fake = outputs(300)
    np.testing.assert_allclose(fitted(fake, real).probability(real), 0.5)
    constant = fitted(np.ones(50), np.ones(50))
    np.testing.assert_allclose(constant.probability(np.array([-5.0, 1.0, 9.0])), 0.5, atol=1e-6)
    with pytest.raises(TooFew, match="at least 20"):
        fitted(real[:19], fake)


def test_the_calibration_error_of_right_probabilities_is_chances_own_and_falls_with_the_count():
    errors = {}
    for count in (200, 20_000):
        probability = GENERATOR.random(count)
        real = (GENERATOR.random(count) < probability).astype(float)
        errors[count] = errors_by_chance(probability).mean()
        assert calibration_error(probability, real) < 2 * errors[count]
    assert errors[20_000] < 0.2 * errors[200] < 0.02
    # who always says 0.9 where the half is real errs by 0.4
    for real in (np.tile([0.0, 1.0], 500), np.repeat([0.0, 1.0], 500)):
        assert calibration_error(np.full(1000, 0.9), real) == pytest.approx(0.4)


def test_bins_hold_equally_many_and_all_examples():
    probability = GENERATOR.random(95) ** 3
    bins = reliability(probability, np.ones(95))
    assert sum(one.count for one in bins) == 95 and {one.count for one in bins} == {9, 10}
    assert [one.probability for one in bins] == sorted(one.probability for one in bins)
    mean = np.average([one.probability for one in bins], weights=[one.count for one in bins])
    assert mean == pytest.approx(probability.mean())


def test_auc_is_the_share_of_pairs_in_order():
    above, below = GENERATOR.integers(0, 5, 30), GENERATOR.integers(0, 4, 20)
    pairs = [(a > b) + 0.5 * (a == b) for a in above for b in below]
    assert auc(above, below) == pytest.approx(np.mean(pairs)) and auc(below, above) == pytest.approx(1 - np.mean(pairs))


def test_brier_scores_are_known_at_their_ends():
    half, one, zero = np.full(9, 0.5), np.ones(9), np.zeros(9)
    assert (brier_score(half, half), brier_score(one, zero), brier_score(zero, one)) == (0.25, 0.0, 1.0)


def test_the_interval_of_a_mean_is_about_two_standard_errors_each_way():
    values = GENERATOR.normal(size=400)
    low, high = interval(np.mean, values)
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15) and low < values.mean() < high


@pytest.mark.parametrize(("slope", "error"), [(1.5, 0.0), (2.25, 0.059)])
def test_the_interval_of_a_calibration_error_holds_the_true_one(slope, error, monkeypatch):
    """Of sets of 180 reals and fakes, whose own error is 0.05 and 0.015 too large on average."""
    generator = np.random.default_rng(1)
    whole = [Calibration(slope, 2.25).probability(one) for one in outputs(100_000, generator)]
    true = calibration_error(np.concatenate(whole), np.repeat([1.0, 0.0], 100_000))
    assert true == pytest.approx(error, abs=5e-3)
    monkeypatch.setattr(held_out_probability, "_RESAMPLES", 100)
    found = []
    for _ in range(20):
        of_real, of_fake = (Calibration(slope, 2.25).probability(one) for one in outputs(180, generator))
        chance = errors_by_chance(np.concatenate([of_real, of_fake]), draws=50)
        low, high = interval_of_error(of_real, of_fake, chance)
        assert 0 <= low < high < 0.25
        found.append(low <= true <= high)
    assert np.mean(found) >= 0.8


def test_a_right_calibration_tells_of_itself_what_theory_says():
    figures = told_of(Calibration(1.5, 2.25), *outputs(2000), {"noised": outputs(2000)[1] - 10})
    assert figures["auc_real_against_fake/low"] < 0.8556 < figures["auc_real_against_fake/high"]  # Phi(1.5 / sqrt 2)
    assert figures["brier_score/high"] < 0.2
    assert figures["calibration_error"] < 2 * figures["calibration_error/by_chance"]
    assert figures["calibration_error/low"] == 0 < figures["calibration_error/high"] < 0.05
    assert figures["auc_real_against_noised"] > 0.999
    assert figures["calibrated_p_real"] + figures["calibrated_p_fake"] == pytest.approx(1, abs=0.03)
