"""Truths of small sets: whatever their sizes and classes, each figure is a finite number or has its reason."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxgen.metrics.features import load
from jaxgen.metrics.sample_quality import draw_measures, figure_names, picture_measures, reference_rows
from jaxgen.metrics.unmeasured import Unmeasured

DISTANCES = {"frechet_distance[net]", "kernel_distance[net]"}
MANIFOLDS, BALLS = {"precision[net]", "recall[net]"}, {"density[net]", "coverage[net]"}
NET, FOREST = load("digits"), "two_sample_accuracy"


def pictures(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.integers(0, 17, (count, 8, 8, 1))


def unmeasured(figures: dict) -> dict[str, str]:
    """The reasons; all other figures are finite numbers."""
    reasons = {name: value.reason for name, value in figures.items() if isinstance(value, Unmeasured)}
    assert all(reasons.values())
    assert all(math.isfinite(value) for name, value in figures.items() if name not in reasons)
    return reasons


@settings(max_examples=25, deadline=None)
@example(train=0, held_out=0, classes=1, seed=0, net=True)
@example(train=6, held_out=0, classes=2, seed=0, net=True)
@example(train=6, held_out=6, classes=1, seed=0, net=True)
@given(
    train=st.integers(0, 6),
    held_out=st.integers(0, 4),  # 5 and more grow forests, which take seconds: an example above has them
    classes=st.integers(1, 3),
    seed=st.integers(0, 2**16),
    net=st.booleans(),
)
def test_reference_rows_of_any_size_have_numbers_or_reasons(train, held_out, classes, seed, net):
    generator = np.random.default_rng(seed)
    sets = [(pictures(generator, size), generator.integers(0, classes, size)) for size in (train, held_out)]
    rows = reference_rows(*sets[0], *sets[1], NET if net else None, seed=0, draws=1)
    assert list(rows) == ["real", "histogram"]
    for row in rows.values():
        reasons = unmeasured(row)
        assert set(figure_names(sets[1][0], sets[1][1], NET if net else None)) <= set(row)
        assert ("two_sample_accuracy" in reasons) == (held_out < 5 or len(reasons) > 1)
    enough = all((sets[0][1] == label).sum() >= (sets[1][1] == label).sum() for label in range(classes))
    if held_out >= 2:
        assert ("frechet_distance[pixels]" in unmeasured(rows["real"])) == (not enough)
        drawable = set(sets[1][1]) <= set(sets[0][1])
        assert ("frechet_distance[pixels]" in unmeasured(rows["histogram"])) == (not drawable)
        assert math.isfinite(rows["histogram"]["bits_per_dim[given class]"])


@pytest.mark.parametrize(
    ("count", "missing"),
    [
        (1, {FOREST, "frechet_distance[pixels]", *DISTANCES, *MANIFOLDS, *BALLS}),
        (2, {FOREST, *MANIFOLDS, *BALLS}),
        (3, {FOREST, *MANIFOLDS, *BALLS}),
        (4, {FOREST, *BALLS}),
        (5, BALLS),
        (6, set()),
    ],
)
def test_a_set_gets_the_figures_that_it_can_have(count, missing):
    generator = np.random.default_rng(0)
    images, labels = pictures(generator, 2 * count), np.zeros(2 * count, int)
    figures = picture_measures(images, labels, pictures(generator, count), NET)
    assert {name.replace(NET.name, "net") for name in unmeasured(figures)} == missing
    assert {"classes_drawn", "recognised_fraction", "recognised_fraction/spread"} <= set(figures)
    assert not any(name.endswith("/spread") and name.removesuffix("/spread") in missing for name in figures)


def test_the_reason_of_a_small_training_set_names_the_class_and_the_counts():
    generator = np.random.default_rng(0)
    train = pictures(generator, 3), np.array([0, 0, 1])
    rows = reference_rows(*train, pictures(generator, 4), np.array([0, 1, 1, 1]), None, seed=0)
    assert set(unmeasured(rows["real"]).values()) == {"there are 1 training and 3 held-out pictures of class 1"}
    rows = reference_rows(*train, pictures(generator, 2), np.array([0, 2]), None, seed=0)
    assert "class 2 needs a training picture" in unmeasured(rows["histogram"])["frechet_distance[pixels]"]
    # one picture of class 0 with two to count, one of class 2 with none: by the smoothing alone log2(17)
    assert rows["histogram"]["bits_per_dim[given class]"] > 0.5 * math.log2(17)


def test_collapsed_samples_and_copies_have_finite_figures():
    generator = np.random.default_rng(0)
    real = pictures(generator, 6)
    for samples in (np.repeat(real[:1], 6, axis=0), np.zeros_like(real), real):
        assert not unmeasured(draw_measures(samples, np.arange(6), real, NET, levels=17))
