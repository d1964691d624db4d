"""A wav that comes in pieces gives the samples that it gives as a whole file, and the same complaints."""
# SPDX-License-Identifier: Apache-2.0

import io
import struct

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


def test_a_header_that_a_pipe_cuts_anywhere_is_read():
    """A pipe's reader gets what was written so far, be it half a chunk."""
    content, samples = wav(noise(300), 8000), noise(300)
    large = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, len(content), 600, 300, 0) + content[12:]
    large = large.replace(b"data" + struct.pack("<I", 600), b"data\xff\xff\xff\xff")
    for whole in (content, large):
        for most in (12, 13, 17, 21, 25, 33, 47):
            assert np.array_equal(np.concatenate(list(wave_pieces(Trickle(whole, most), "a pipe", 8000, 100))), samples)


@pytest.mark.parametrize("cut", range(12, 60))
def test_a_large_file_s_header_that_is_cut_short_is_one_sentence(cut):
    large = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 700, 600, 300, 0) + wav(noise(300), 8000)[12:]
    with pytest.raises(BadExample, match=r"header is cut short|truncated"):
        read_wave(io.BytesIO(large[:cut]))


def test_a_rate_that_no_recorder_has_is_damage():
    content = bytearray(wav(noise(300), 8000))
    content[24:28] = struct.pack("<I", 0xFFFFFFF1)
    with pytest.raises(BadExample, match="1 channels at 4294967281 Hz"):
        list(wave_pieces(io.BytesIO(bytes(content)), "a file", 8000, 100))
