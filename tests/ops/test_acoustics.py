"""Noise is as loud as asked, a room is a convolution, and rows draw for themselves."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.surroundings import Surroundings
from jaxgen.ops.acoustics import coloured_noise, convolved, in_rooms, own_samples, room_response, with_noise

KEY, ROW = jax.random.key(5), jnp.arange(4)
LENGTH = jnp.array([3000, 2000, 777, 3000])
WAVE = jnp.where(own_samples(jnp.ones((4, 3000)), LENGTH), 0.2 * jax.random.normal(KEY, (4, 3000)), 0.0)


def test_the_signal_to_noise_ratio_is_the_one_asked_for():
    ratio = jnp.array([20.0, 0.0, -5.0, 40.0])
    noisy = with_noise(WAVE, LENGTH, coloured_noise(KEY, ROW, 3000), ratio)
    noise = np.asarray(noisy - WAVE, np.float64)
    found = 10 * np.log10((np.asarray(WAVE, np.float64) ** 2).sum(axis=1) / (noise**2).sum(axis=1))
    np.testing.assert_allclose(found, ratio, atol=1e-3)
    assert not noise[~np.asarray(own_samples(WAVE, LENGTH))].any()
    silent = with_noise(0 * WAVE, LENGTH, coloured_noise(KEY, ROW, 3000), ratio)
    assert not silent.any()


def test_noise_falls_with_frequency_by_at_most_a_decade_in_a_decade():
    noise = coloured_noise(KEY, jnp.arange(64), 4096)
    power = np.abs(np.fft.rfft(np.asarray(noise, np.float64), axis=1)) ** 2
    bands = np.log10(power[:, 20:40].mean(axis=1)), np.log10(power[:, 200:400].mean(axis=1))
    fall = bands[0] - bands[1]  # 0 for white, 1 for pink
    assert -0.4 < fall.min() < 0.2 and 0.8 < fall.max() < 1.4 and 0.3 < fall.mean() < 0.7


def test_a_room_is_a_convolution_that_keeps_the_power_and_the_length():
    response = room_response(KEY, ROW, 8000)
    assert (response[:, 0] == 1).all()
    expected = [np.convolve(w, h)[:3000] for w, h in zip(np.asarray(WAVE), np.asarray(response), strict=True)]
    np.testing.assert_allclose(convolved(WAVE, response), expected, atol=1e-5)
    tail = 10 * np.log10(1 / (np.asarray(response)[:, 1:] ** 2).sum(axis=1))
    assert (tail > -0.01).all() and (tail < 12.01).all()
    heard = in_rooms(WAVE, LENGTH, KEY, ROW, 8000, 1.0)
    np.testing.assert_allclose((heard**2).sum(axis=1), (WAVE**2).sum(axis=1), rtol=1e-4)
    assert not np.asarray(heard)[~np.asarray(own_samples(WAVE, LENGTH))].any()
    assert np.array_equal(in_rooms(WAVE, LENGTH, KEY, ROW, 8000, 0.0), WAVE)


def test_rows_draw_for_themselves_whatever_stands_beside_them():
    arrays, surroundings = {"value": WAVE, "length": LENGTH}, Surroundings()
    whole = surroundings(arrays, KEY, ROW, 8000)["value"]
    part = surroundings(jax.tree.map(lambda array: array[2:], arrays), KEY, ROW[2:], 8000)["value"]
    np.testing.assert_allclose(part, whole[2:], atol=1e-6)
    assert np.abs(np.asarray(whole)).max() <= 1 and not np.allclose(whole[0], whole[3])
    gain = Surroundings(noise_db=None, room=0.0, gain_db=6.0)(arrays, KEY, ROW, 8000)["value"]
    factor = np.asarray(gain).std(axis=1) / np.asarray(WAVE).std(axis=1)
    assert (np.abs(20 * np.log10(factor)) < 6.01).all() and factor.std() > 0.01
