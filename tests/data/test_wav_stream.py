"""A wav that comes in pieces gives the samples that it gives as a whole file, and the same complaints."""
# SPDX-License-Identifier: Apache-2.0

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from jaxgen.data.examples import BadExample
from jaxgen.data.wav_stream import Resampler, wave_pieces
from jaxgen.data.waves import Recording, as_samples, read_wave


class Trickle(io.BytesIO):
    """A file of which no more than so many bytes come at once."""

    def __init__(self, content, most):
        super().__init__(content)
        self.most = most

    def read1(self, size=-1):
        return super().read1(min(size, self.most) if size >= 0 else self.most)


def wav(samples, rate):
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


def noise(count, channels=1):
    drawn = np.random.default_rng(0).integers(-20_000, 20_000, (count, channels)).astype(np.int16)
    return drawn if channels > 1 else drawn[:, 0]


@pytest.mark.parametrize(("own", "rate"), [(8000, 8000), (44_100, 8000), (22_050, 8000), (8000, 16_000)])
@pytest.mark.parametrize("channels", [1, 2])
def test_in_pieces_it_is_the_whole(own, rate, channels):
    content = wav(noise(9_001, channels), own)
    hertz, samples = read_wave(io.BytesIO(content))
    whole = as_samples(Recording("", "", hertz, samples), rate, resample=True)
    found = list(wave_pieces(Trickle(content, 1237), "a pipe", rate, 320))
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert len(found) > 8


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.sampled_from([(3, 2), (2, 3), (441, 80), (1, 1)]))
def test_any_cut_is_resampled_alike(cuts, rates):
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, sum(cuts))
    resampler = Resampler(*rates)
    parts = [resampler.push(part) for part in np.split(samples, np.cumsum(cuts)[:-1])] + [resampler.end()]
    if len(samples):
        whole = as_samples(Recording("", "", rates[0], samples), rates[1], resample=True)
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"fLaC and so on", "it is FLAC"),
        (wav(noise(0), 8000), "it holds no sample"),
        (wav(noise(500), 8000)[:-100], "it is truncated"),
        (wav(noise(500), 8000)[:30], "header is cut short"),
    ],
)
def test_what_is_no_whole_wav_is_told(content, message):
    with pytest.raises(BadExample, match=message):
        list(wave_pieces(Trickle(content, 50), "a pipe", 8000, 100))
