"""Log-mel features are what their definition says, written a second time; tones lie where they belong."""
# SPDX-License-Identifier: Apache-2.0

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import signal

from jaxgen.errors import UserError
from jaxgen.nn.sound import LogMel
from jaxgen.ops import audio


def triangles_by_definition(rate, points, mels, low, high):
    """Filter m rises from centre m-1 to m and falls to m+1; centres even on 1127 ln(1 + f/700), HTK's scale again."""
    scale = np.linspace(1127 * np.log(1 + low / 700), 1127 * np.log(1 + high / 700), mels + 2)
    centres = 700 * (np.exp(scale / 1127) - 1)
    weights = np.zeros((mels, points // 2 + 1))
    for m in range(mels):
        for k in range(points // 2 + 1):
            f = k * rate / points
            if centres[m] <= f <= centres[m + 1]:
                weights[m, k] = (f - centres[m]) / (centres[m + 1] - centres[m])
            elif centres[m + 1] < f <= centres[m + 2]:
                weights[m, k] = (centres[m + 2] - f) / (centres[m + 2] - centres[m + 1])
    return weights


@pytest.mark.parametrize(
    "heard",
    [LogMel(), LogMel(rate=8000, mels=40, window=0.032, hop=0.0125, low=0.0, high=3600.0, floor=1e-6)],
    ids=["16 kHz", "8 kHz"],
)
def test_features_equal_those_of_scipy_and_a_filterbank_by_definition(heard):
    wave = 0.3 * np.random.default_rng(0).standard_normal((2, 4000)).clip(-3, 3)
    wave[1, 2000:] = 0
    spectrum = signal.ShortTimeFFT(
        signal.windows.hann(heard.samples, sym=False), heard.step, heard.rate, mfft=heard.points, phase_shift=None
    )
    first, count = heard.samples // 2, heard.frames(4000)  # scipy numbers a frame by its middle
    power = np.abs(spectrum.stft_detrend(wave, lambda frame: frame, k_offset=first, p0=0, p1=count)) ** 2
    weights = triangles_by_definition(heard.rate, heard.points, heard.mels, heard.low, heard.top)
    expected = np.log(np.maximum(np.einsum("mk,bkf->bfm", weights, power), heard.floor))
    features, mask = heard(jnp.asarray(wave, jnp.float32), jnp.array([4000, 2000]))
    np.testing.assert_allclose(features, expected, atol=2e-4)
    assert mask.sum(axis=1).tolist() == [count, heard.frames(2000)] and mask[1, : heard.frames(2000)].all()
    assert features[1, -1].tolist() == pytest.approx([math.log(heard.floor)] * heard.mels)


def test_a_pure_tone_peaks_in_its_bin_with_the_power_of_the_window():
    rate, points, k = 16_000, 512, 37
    tone = jnp.cos(2 * math.pi * k / points * jnp.arange(points))
    power = audio.power_spectrum(tone * audio.hann(points))
    assert int(power.argmax()) == k
    assert float(power[k]) == pytest.approx((points / 4) ** 2, rel=1e-4)  # half the window's sum, W/2, at amplitude 1
    heard = LogMel(rate=rate, window=points / rate)
    features, _ = heard(tone[None], jnp.array([points]))
    centres = [np.argmax(weights) for weights in heard.filters]
    assert abs(centres[int(features[0, 0].argmax())] - k) <= 1


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_parseval(seed):
    """The power of all bins, the inner ones twice, is the number of points times the energy under the window."""
    frame = jax.random.normal(jax.random.key(seed), (400,))
    power = audio.power_spectrum(audio.frames(frame, 400, 1, 512))[0]
    both = power.sum() + power[1:-1].sum()
    energy = float(((frame * audio.hann(400)) ** 2).sum())
    assert float(both) == pytest.approx(512 * energy, rel=1e-5)


def test_the_triangles_sum_to_one_between_the_outer_centres():
    filters = np.asarray(LogMel().filters)
    tops = [LogMel().rate * np.argmax(weights) / LogMel().points for weights in filters]
    bins = np.arange(filters.shape[1]) * LogMel().rate / LogMel().points
    inside = (bins > tops[0] + 50) & (bins < tops[-1] - 50)
    np.testing.assert_allclose(filters[:, inside].sum(axis=0), 1, rtol=1e-12)
    assert audio.to_mel(1000) == pytest.approx(1000, abs=0.1)  # how the scale is fixed
    assert audio.to_hertz(audio.to_mel(440.0)) == pytest.approx(440)


@given(st.integers(0, 60), st.integers(1, 12), st.integers(1, 12))
def test_whole_frames_are_counted(samples, window, hop):
    starts = [start for start in range(0, samples, hop) if start + window <= samples]
    assert audio.frame_count(samples, window, hop) == len(starts)


@pytest.mark.parametrize(("samples", "window", "hop"), [(23, 5, 3), (12, 12, 5), (11, 12, 5)])
def test_frames_are_whole_and_masked_by_a_rows_own_samples(samples, window, hop):
    starts = [start for start in range(0, samples, hop) if start + window <= samples]
    framed = audio.frames(jnp.arange(samples), window, hop, window + 2)
    expected = np.zeros((len(starts), window + 2))
    for row, start in enumerate(starts):
        expected[row, :window] = np.arange(start, start + window) * np.sin(np.pi * np.arange(window) / window) ** 2
    np.testing.assert_allclose(framed, expected, atol=1e-5)
    mask = audio.frame_mask(jnp.arange(samples + 1), samples, window, hop)
    assert mask.tolist() == [[start + window <= own for start in starts] for own in range(samples + 1)]


def test_what_lies_past_a_rows_own_samples_is_not_heard_in_its_frames():
    heard = LogMel(rate=8000, mels=20)
    waves = jax.random.normal(jax.random.key(0), (2, 2000)) * 0.1
    other = waves.at[:, 1111:].set(0.7)
    length = jnp.array([1111, 1111])
    (one, mask), (two, _) = heard(waves, length), heard(other, length)
    assert np.array_equal(one[mask], two[mask]) and not np.array_equal(one, two)


@pytest.mark.parametrize("samples", [24 + 40 * 32 + 39, 24 + 40 * 100 + 7, 5])
def test_part_by_part_on_a_cpu_gives_the_features_of_the_whole(samples):
    heard = LogMel(rate=8000, window=0.003, hop=0.005, mels=4)
    wave = jax.random.normal(jax.random.key(0), (3, samples))
    whole, parts = jax.jit(heard._features)(wave), heard(wave, jnp.full(3, samples)).features
    assert parts.shape == (3, heard.frames(samples), 4)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_rows_spread_over_devices_give_the_same_and_the_program_lowers_for_each_kind():
    heard = LogMel(rate=8000, mels=20)
    wave, length = jax.random.normal(jax.random.key(0), (4, 4000)), jnp.array([4000, 3000, 100, 0])
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put((wave, length), NamedSharding(mesh, PartitionSpec("data")))
    program = jax.jit(heard.__call__)
    for found, expected in zip(program(*spread), heard(wave, length), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert jax.export.export(program, platforms=["cpu", "cuda", "tpu"])(wave, length).platforms


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LogMel(rate=8000, mels=128), "hear nothing"),
        (lambda: LogMel(high=9000.0), "high <= rate / 2"),
        (lambda: LogMel(hop=0.0), "hop of at least one sample"),
    ],
)
def test_settings_that_cannot_be(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
