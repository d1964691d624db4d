"""Truths of precision and recall: sets worked by hand, duality, and a plain loop over the paper's equations."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.metrics.neighbours import precision_recall


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
