"""Truths of the Frechet distance: closed forms of Gaussians, a metric's properties, and scipy's matrix square root."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.metrics.frechet import frechet_distance, gaussian_frechet_distance


def vectors(seed: int, count: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, width)) @ generator.normal(size=(width, width)) + generator.normal(size=width)


def rotation(seed: int, width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def test_gaussians_of_one_dimension():
    distance = gaussian_frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([-2.0]), np.array([[9.0]]))
    assert distance == pytest.approx((1 + 2) ** 2 + (2 - 3) ** 2, rel=1e-12)


def test_gaussians_whose_covariances_share_their_axes():
    axes, m, m_w = rotation(0, 4), np.arange(4.0), np.ones(4)
    s, s_w = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 0.0, 5.0, 3.0])  # standard deviations, none among them
    distance = gaussian_frechet_distance(m, axes * s**2 @ axes.T, m_w, axes * s_w**2 @ axes.T)
    assert distance == pytest.approx(np.sum((m - m_w) ** 2) + np.sum((s - s_w) ** 2), rel=1e-12)


def test_the_samples_of_gaussians_come_near_their_closed_form():
    generator = np.random.default_rng(0)
    samples, reference = generator.normal(size=(200_000, 2)) * [1, 2], generator.normal(size=(200_000, 2)) * [3, 2] + 1
    assert frechet_distance(samples, reference) == pytest.approx(2 + (3 - 1) ** 2, rel=0.02)


def test_it_agrees_with_the_square_root_of_the_product():
    a, b = vectors(1, 50, 6), vectors(2, 40, 6)
    C, C_w = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(C @ C_w).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(C + C_w - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 20), st.integers(1, 8))  # fewer vectors than dimensions: singular
def test_it_is_symmetric_and_blind_to_rotation_and_to_moving_both(seed, count, width):
    a, b, turn = vectors(seed, count, width), vectors(seed + 1, count + 3, width), rotation(seed + 2, width)
    distance = frechet_distance(a, b)
    assert distance >= 0
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a @ turn + 7, b @ turn + 7) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a, a) <= 1e-12 * np.sum(a.var(axis=0))
    assert frechet_distance(a + 3, a) == pytest.approx(9 * width, rel=1e-9)


def test_one_example_has_no_distance():
    with pytest.raises(UserError, match="at least 2"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


@pytest.mark.parametrize(("count", "others"), [(5, 9), (9, 5), (2, 2), (11, 11)])
def test_of_fewer_vectors_than_dimensions_it_is_that_of_their_gaussians(count, others):
    samples, reference = vectors(3, count, 12), vectors(4, others, 12)
    m, m_w = samples.mean(axis=0), reference.mean(axis=0)
    C, C_w = np.cov(samples, rowvar=False), np.cov(reference, rowvar=False)
    expected = gaussian_frechet_distance(m, C, m_w, C_w)
    assert frechet_distance(samples, reference) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(samples, samples) == pytest.approx(0, abs=1e-9)
