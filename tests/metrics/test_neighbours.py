"""Truths of precision, recall, density and coverage: sets worked by hand, duality, plain loops over the equations."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.metrics import neighbours
from jaxgen.metrics.neighbours import density_coverage, precision_recall


def covered(point: np.ndarray, manifold: np.ndarray, k: int) -> bool:
    """Eq. 1 of arXiv 1904.06991, word for word."""
    for other in manifold:
        fellows = sorted(np.linalg.norm(other - fellow) for fellow in manifold)
        if np.linalg.norm(point - other) <= fellows[k]:
            return True
    return False


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_it_agrees_with_the_equations(seed, k):
    generator = np.random.default_rng(seed)
    samples, reference = generator.normal(size=(9, 3)), generator.normal(size=(8, 3)) + 1
    precision, recall = precision_recall(samples, reference, k)
    assert precision == np.mean([covered(point, reference, k) for point in samples])
    assert recall == np.mean([covered(point, samples, k) for point in reference])


def test_a_line_worked_by_hand():
    reference = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])  # k = 1: every radius is 1, so that [-1, 5] is covered
    samples = np.array([[4.5], [4.75], [5.25], [9.0]])  # radii 0.25, 0.25, 0.5, 3.75: [4.25, 5.75] and [5.25, 12.75]
    assert precision_recall(samples, reference, k=1) == (0.5, 0.0)
    assert precision_recall(reference, samples, k=1) == (0.0, 0.5)


def test_the_extremes():
    generator = np.random.default_rng(0)
    reference = generator.normal(size=(50, 4))
    assert precision_recall(reference, reference) == (1.0, 1.0)
    assert precision_recall(reference + 100, reference) == (0.0, 0.0)
    collapsed = np.repeat(reference[:1], 50, axis=0)  # one real example again and again: true, and no variety
    assert precision_recall(collapsed, reference) == (1.0, 1 / 50)


def test_too_few_for_a_neighbour():
    with pytest.raises(UserError, match="more than 3"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))


def radius(point: np.ndarray, fellows: np.ndarray, k: int) -> float:
    return sorted(np.linalg.norm(point - fellow) for fellow in fellows)[k]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_density_and_coverage_agree_with_the_equations(seed, k):
    """Eq. 4 and 5 of arXiv 2002.09797, word for word."""
    generator = np.random.default_rng(seed)
    samples, reference = generator.normal(size=(9, 3)), generator.normal(size=(8, 3)) + 1
    inside = [[np.linalg.norm(y - x) <= radius(x, reference, k) for y in samples] for x in reference]
    density, coverage = density_coverage(samples, reference, k)
    assert density == pytest.approx(np.sum(inside) / (k * len(samples)))
    assert coverage == np.mean(np.any(inside, axis=1))


def test_real_examples_have_a_density_of_1_and_the_coverage_that_the_paper_works_out():
    generator = np.random.default_rng(0)
    draws = [density_coverage(*generator.normal(size=(2, 400, 2))) for _ in range(20)]
    density, coverage = np.mean(draws, axis=0)
    assert density == pytest.approx(1, abs=0.02)
    assert coverage == pytest.approx(1 - 0.5**5, abs=0.01)


def test_a_collapsed_set_covers_nearly_nothing():
    generator = np.random.default_rng(0)
    reference = generator.normal(size=(200, 2))
    assert density_coverage(np.zeros((200, 2)), reference)[1] < 0.1


def test_an_outlying_real_example_widens_no_other_neighbourhood():
    """A far sample beside it lies in one ball of 51, and not in all of the space between, as for precision."""
    generator = np.random.default_rng(0)
    reference = np.concatenate([generator.normal(size=(50, 2)), [[100.0, 0.0]]])
    far = np.full((20, 2), 60.0)
    assert density_coverage(far, reference)[0] == pytest.approx(1 / 5)  # the ball of the outlier alone
    assert precision_recall(far, reference)[0] == 1.0


def test_blocks_of_rows_change_nothing(monkeypatch):
    """Of more rows than one block holds, of which none and some are equal."""
    generator = np.random.default_rng(1)
    reference = generator.normal(size=(60, 5)) + 3
    samples = np.concatenate([reference[:20], generator.normal(size=(35, 5)) + 3.5])
    whole = precision_recall(samples, reference), density_coverage(samples, reference)
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    assert (precision_recall(samples, reference), density_coverage(samples, reference)) == whole


def test_too_few_for_density():
    with pytest.raises(UserError, match="more than 5"):
        density_coverage(np.zeros((9, 2)), np.zeros((5, 2)))
