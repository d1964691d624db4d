"""Truths of the projection: orthonormal rows, a contraction, its mean over directions, the same in every process."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.metrics.frechet import frechet_distance, gaussian_frechet_distance
from jaxgen.metrics.projection import DIMENSIONS, WIDEST, is_wide, project
from jaxgen.metrics.sample_quality import draw_measures, picture_measures, reference_rows
from jaxgen.metrics.unmeasured import Unmeasured

WIDTH = 4096
DISTANCE, FOREST = "frechet_distance[pixels, projected to 512]", "two_sample_accuracy[projected to 512]"


def matrix(width: int = WIDTH) -> np.ndarray:
    """P [512, D], column by column."""
    return project(np.eye(width)).T


def test_its_rows_are_orthonormal():
    P = matrix()
    np.testing.assert_allclose(P @ P.T, np.eye(DIMENSIONS), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(DIMENSIONS, 6000))
def test_it_is_linear_in_parts_and_never_longer(seed, width):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, 3, width))
    projected = project(x)
    np.testing.assert_allclose(project(2 * x - y), 2 * projected - project(y), atol=1e-9)
    np.testing.assert_allclose(project(x, 0.5), 0.5 * projected, atol=1e-12)
    assert (np.linalg.norm(projected, axis=1) <= np.linalg.norm(x, axis=1) * (1 + 1e-12)).all()


def test_directions_keep_512_of_d_on_average():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, WIDTH))
    ratio = np.sum(project(x) ** 2) / np.sum(x**2)  # its standard deviation is about (2 / (400 * 512))^(1/2) = 0.3 %
    assert ratio == pytest.approx(DIMENSIONS / WIDTH, rel=0.02)
    single = np.sum(matrix() ** 2, axis=0)  # of each pixel alone: none is kept whole, none is lost
    assert single.max() < 3 * DIMENSIONS / WIDTH and single.min() > DIMENSIONS / WIDTH / 4


def test_the_distance_of_projected_gaussians():
    """In closed form for multiples of the identity; never above the whole distance for any covariances."""
    P, generator = matrix(1024), np.random.default_rng(0)
    m, m_w = generator.normal(size=(2, 1024))
    marginals = [(P @ mean, scale**2 * P @ P.T) for mean, scale in ((m, 2.0), (m_w, 3.0))]
    means = np.sum((P @ (m - m_w)) ** 2)
    assert gaussian_frechet_distance(*marginals[0], *marginals[1]) == pytest.approx(means + DIMENSIONS, rel=1e-9)
    assert means == pytest.approx(DIMENSIONS / 1024 * np.sum((m - m_w) ** 2), rel=0.25)
    s, s_w = generator.uniform(0, 3, (2, 1024))
    whole = np.sum((m - m_w) ** 2) + np.sum((s - s_w) ** 2)
    projected = gaussian_frechet_distance(P @ m, P * s**2 @ P.T, P @ m_w, P * s_w**2 @ P.T)
    assert means <= projected <= whole
    assert gaussian_frechet_distance(P @ m, P * s**2 @ P.T, P @ m, P * s**2 @ P.T) == pytest.approx(0, abs=1e-9)


def test_another_process_projects_to_the_same_numbers():
    code = (
        "import hashlib, numpy as np; from jaxgen.metrics.projection import project; "
        "print(hashlib.sha256(project(np.arange(3 * 4096).reshape(3, 4096) % 251).round(6).tobytes()).hexdigest())"
    )
    others = {subprocess.check_output([sys.executable, "-c", code], text=True).strip() for _ in range(2)}
    here = project(np.arange(3 * 4096).reshape(3, 4096) % 251).round(6)
    assert others == {hashlib.sha256(here.tobytes()).hexdigest()}


def test_small_pictures_are_compared_as_they_were():
    generator = np.random.default_rng(0)
    assert not is_wide(np.zeros((1, 32, 32, 3))) and is_wide(np.zeros((1, 32, 33, 3))) and WIDEST == 32 * 32 * 3
    images, reference = generator.integers(0, 256, (2, 4, 16, 16, 1), dtype=np.uint8)
    measures = draw_measures(images, None, reference, None, 256)
    whole = frechet_distance(images.reshape(4, -1) / 255, reference.reshape(4, -1) / 255)
    assert measures == {"frechet_distance[pixels]": whole}  # to the bit


def test_large_pictures_and_their_references_are_measured_under_the_projection():
    generator = np.random.default_rng(0)
    sets = [generator.integers(0, 256, (size, 33, 33, 3), dtype=np.uint8) for size in (30, 6)]
    figures = picture_measures(sets[0][:6], None, sets[1], None, 256)
    assert set(figures) == {DISTANCE, FOREST} and 0 <= figures[FOREST] <= 1
    assert figures[DISTANCE] == frechet_distance(*(project(part, 1 / 255) for part in (sets[0][:6], sets[1])))
    rows = reference_rows(sets[0], np.zeros(30, int), sets[1][:4], np.zeros(4, int), None, 0, draws=1, levels=256)
    for row in rows.values():
        assert row[DISTANCE] > 0 and isinstance(row[FOREST], Unmeasured)
    # the floor: real pictures against others of the same kind come nearer than noise of the same histograms does
    gradient = np.linspace(0, 255, 33)[:, None, None] * np.ones((33, 33, 3))
    levels = (gradient * generator.uniform(0.5, 1, (34, 1, 1, 1))).astype(np.uint8)
    rows = reference_rows(levels[:30], np.zeros(30, int), levels[30:], np.zeros(4, int), None, 0, draws=1, levels=256)
    assert rows["real"][DISTANCE] < rows["histogram"][DISTANCE] / 2
