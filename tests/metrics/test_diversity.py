"""Diversity is 1 for the reference itself, 0 for copies, and scales with the samples' spread."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from jaxgen.metrics.diversity import diversity
from jaxgen.metrics.unmeasured import TooFew

GENERATOR = np.random.default_rng(0)
REFERENCE, CLASSES = GENERATOR.normal(size=(60, 5)), np.arange(60) % 3


def test_the_reference_has_its_own_diversity_and_copies_have_none():
    assert abs(diversity(REFERENCE, CLASSES, REFERENCE, CLASSES) - 1) < 1e-12
    assert diversity(np.tile(REFERENCE[:1], (9, 1)), np.zeros(9), REFERENCE, CLASSES) == 0


def test_it_scales_with_the_spread_and_weighs_classes_by_their_samples():
    wide = np.where((CLASSES == 1)[:, None], 3 * REFERENCE, REFERENCE)
    assert abs(diversity(wide, CLASSES, REFERENCE, CLASSES) - 5 / 3) < 1e-12
    some = (CLASSES == 1) | (np.arange(60) < 30)  # 20 of class 1, 10 of each other
    assert diversity(wide[some], CLASSES[some], REFERENCE, CLASSES) > 5 / 3


def test_a_class_of_one_sample_says_nothing():
    with pytest.raises(TooFew, match="two samples"):
        diversity(REFERENCE[:1], CLASSES[:1], REFERENCE, CLASSES)
    alike = np.repeat(REFERENCE[:1], 5, axis=0)  # held-out examples without any variety to be compared with
    with pytest.raises(TooFew, match="two different held-out examples"):
        diversity(REFERENCE[:5], np.zeros(5), alike, np.zeros(5))
