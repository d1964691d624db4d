"""Directions of sliders: those of a known map are found, and waves are the cosine transform's."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from scipy.fft import dctn

from jaxgen.play.directions import principal_directions, slowest_waves


def test_the_directions_of_a_linear_map_are_its_singular_vectors():
    """x = A z + b: the mean Jacobian is A, whatever is added."""
    draws = np.random.default_rng(0)
    vectors, _ = np.linalg.qr(draws.standard_normal((6, 6)))
    pictures, _ = np.linalg.qr(draws.standard_normal((20, 6)))
    strengths = np.array([9.0, 6.0, 4.0, 2.5, 1.5, 1.0])
    noise = draws.standard_normal((40_000, 6))
    made = noise @ (vectors * strengths) @ pictures.T + draws.standard_normal(20)
    found = principal_directions(noise, made, 4)
    np.testing.assert_allclose(np.abs(found @ vectors), np.eye(4, 6), atol=0.04)
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-4)


def test_of_a_bent_map_they_are_those_of_its_mean_jacobian():
    """x = sin(z_i) along picture i has E[dx_i/dz_i] = e^(-1/2) a_i, and z_0² none at all; upwards is brighter."""
    noise = np.random.default_rng(1).standard_normal((60_000, 3))
    made = np.stack([9 * noise[:, 0] ** 2, -2 * np.sin(noise[:, 1]), 4 * np.sin(noise[:, 2])], axis=1)
    found = principal_directions(noise, made, 3)
    np.testing.assert_allclose(found, [[0, 0, 1], [0, -1, 0], found[2]], atol=0.05)
    assert abs(found[2, 0]) > 0.99


def test_there_are_no_more_directions_than_numbers():
    draws = np.random.default_rng(2)
    assert principal_directions(draws.standard_normal((64, 3)), draws.standard_normal((64, 5)), 8).shape == (3, 3)
    assert slowest_waves((2, 3), 8).shape == (6, 2, 3)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 24, 3)])
def test_waves_are_single_coefficients_of_the_cosine_transform(shape):
    waves = slowest_waves(shape, 8)
    places = []
    for wave in waves:
        coefficients = dctn(wave.astype(np.float64), norm="ortho")
        place = np.unravel_index(np.abs(coefficients).argmax(), shape)
        assert coefficients[place] == pytest.approx(1, abs=1e-5)
        assert np.square(coefficients).sum() == pytest.approx(1, abs=1e-5)
        places.append(place)
    assert places[0] == (0, 0, 0) and len(set(places)) == 8
    assert [sum(k * k for k in place) for place in places] == sorted(sum(k * k for k in place) for place in places)
