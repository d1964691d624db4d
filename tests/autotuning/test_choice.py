"""A candidate is taken where it is faster, and noise alone, drifts and spikes among it, hardly ever takes one."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from jaxgen.autotuning.choice import ROUNDS, Ratio, fastest

TRIALS = 100


def chosen(seconds, seed, noise=0.03, spikes=0.0):
    """Which of three candidates is taken whose blocks take so long beside the present one's 1, on a drifting machine.
    """
    draw = np.random.default_rng(seed)
    load = np.exp(np.cumsum(draw.normal(0, 0.05, ROUNDS)))  # what else the machine does, in each round

    def blocks(of):
        held_up = np.where(draw.random(ROUNDS) < spikes, draw.uniform(1.2, 2.5, ROUNDS), 1.0)
        return of * load * held_up * np.exp(draw.normal(0, noise, ROUNDS))

    present = blocks(1.0)
    return fastest({number: Ratio.of(present, blocks(of)) for number, of in enumerate(seconds)})


@pytest.mark.parametrize(("noise", "spikes"), [(0.01, 0.0), (0.03, 0.0), (0.1, 0.0), (0.03, 0.15)])
def test_noise_alone_changes_nothing(noise, spikes):
    taken = [chosen((1.0, 1.0, 1.0), seed, noise, spikes) is not None for seed in range(TRIALS)]
    assert np.mean(taken) <= 0.05


def test_a_tenth_is_found():
    assert np.mean([chosen((1.0, 1 / 1.1, 1.0), seed) == 1 for seed in range(TRIALS)]) >= 0.95


def test_the_fastest_is_taken_and_a_slower_one_never():
    assert np.mean([chosen((0.9, 0.6, 1.5), seed) == 1 for seed in range(TRIALS)]) >= 0.99


def test_a_gain_that_is_certain_and_small_is_not_worth_a_setting():
    ratio = Ratio.of([1.0] * ROUNDS, [0.99] * ROUNDS)
    assert ratio.high < 1 and not ratio.faster
    assert Ratio.of([1.0] * ROUNDS, [0.9] * ROUNDS).faster
    assert fastest({}) is None


def test_what_slows_a_round_slows_both_and_is_divided_out():
    load = np.linspace(1, 5, ROUNDS)
    assert Ratio.of(load, 0.8 * load) == Ratio(pytest.approx(0.8), pytest.approx(0.8), pytest.approx(0.8))
