"""Wav files of every kind are the sound that was written, by headers made here and by independent writers."""
# SPDX-License-Identifier: Apache-2.0

import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from jaxgen.data.wav_file import NoWave, decode_wave

RATE = 11_025


def chunk(name: bytes, body: bytes, order: str = "<", size: int | None = None) -> bytes:
    size = len(body) if size is None else size
    return struct.pack(f"{order}4sI", name, size) + body + b"\0" * (len(body) % 2)


def form(tag: int, channels: int, width: int, order: str = "<", valid: int | None = None) -> bytes:
    """A format chunk; of the extensible kind where the `valid` bits are said."""
    frame = channels * width
    first = 0xFFFE if valid else tag
    body = struct.pack(f"{order}HHIIHH", first, channels, RATE, RATE * frame, frame, 8 * width)
    if valid:
        guid = struct.pack(f"{order}H", tag) + bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
        body += struct.pack(f"{order}HHI", 22, valid, 0) + guid
    return chunk(b"fmt ", body, order)


def riff(*chunks: bytes, kind: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    order = ">" if kind == b"RIFX" else "<"
    return kind + struct.pack(f"{order}I", len(body) if size is None else size) + body


def encoded(levels: np.ndarray, kind: str, order: str) -> tuple[bytes, int, int]:
    """Levels of 128 as bytes of a kind, its tag and its width."""
    flat = levels.reshape(-1)
    match kind:
        case "u8":
            return (flat + 128).astype(np.uint8).tobytes(), 1, 1
        case "i24":
            big = "little" if order == "<" else "big"
            return b"".join(int(level * 2**16).to_bytes(3, big, signed=True) for level in flat), 1, 3
        case "i16" | "i32":
            width = int(kind[1:]) // 8
            return (flat * 2 ** (8 * width - 8)).astype(f"{order}i{width}").tobytes(), 1, width
    width = int(kind[1:]) // 8
    return (flat / 128).astype(f"{order}f{width}").tobytes(), 3, width


KINDS = ("u8", "i16", "i24", "i32", "f32", "f64")
LEVELS = st.lists(st.integers(-128, 127), min_size=0, max_size=9)


@given(LEVELS, st.sampled_from(KINDS), st.integers(1, 3), st.sampled_from("<>"), st.booleans(), st.data())
def test_every_width_order_and_number_of_channels_is_the_same_sound(levels, kind, channels, order, extensible, data):
    levels = np.array(levels * channels).reshape(-1, channels)
    body, tag, width = encoded(levels, kind, order)
    extra = [chunk(b"LIST", b"x" * data.draw(st.integers(0, 3)), order), chunk(b"fact", b"abcd", order)]
    before, behind = (extra[: data.draw(st.integers(0, 2))] for _ in range(2))
    valid = 8 * width if extensible else None
    sound = chunk(b"data", body, order)
    content = riff(
        *before,
        form(tag, channels, width, order, valid),
        *before,
        sound,
        *behind,
        kind=b"RIFX" if order == ">" else b"RIFF",
    )
    rate, samples = decode_wave(content)
    assert rate == RATE and samples.shape == ((len(levels),) if channels == 1 else levels.shape)
    np.testing.assert_array_equal(samples.reshape(levels.shape), levels / 128)


@pytest.mark.parametrize("sizes", [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000), (0xFFFFFFFF, 0)])
@pytest.mark.parametrize("cut", [0, 1])
def test_what_a_pipe_wrote_ends_where_the_file_ends(sizes, cut):
    whole = np.arange(-5, 5, dtype="<i2").tobytes()
    content = riff(
        form(1, 1, 2), chunk(b"data", whole[: len(whole) - cut], size=sizes[1])[: 8 + len(whole) - cut], size=sizes[0]
    )
    np.testing.assert_array_equal(decode_wave(content)[1], np.arange(-5, 5 - cut) / 32768)


def test_no_sound_is_none_whatever_follows_it():
    content = riff(form(1, 1, 2), chunk(b"data", b""), chunk(b"LIST", b"abcd"))
    assert decode_wave(content)[1].shape == (0,)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
def test_sizes_of_64_bits(kind):
    body = np.arange(6, dtype="<i2").tobytes()
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, len(body), 6, 0))
    content = riff(
        sizes, form(1, 2, 2), chunk(b"data", body, size=0xFFFFFFFF), chunk(b"LIST", b"more"), kind=kind, size=0xFFFFFFFF
    )
    np.testing.assert_array_equal(decode_wave(content)[1], np.arange(6).reshape(3, 2) / 32768)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_what_scipy_writes(dtype):
    drawn = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    scale = {"uint8": 127, "int16": 2**15 - 1, "int32": 2**31 - 1}.get(dtype, 1.0)
    written = (drawn * scale + (128 if dtype == "uint8" else 0)).astype(dtype)
    buffer = io.BytesIO()
    wavfile.write(buffer, RATE, written)
    rate, samples = decode_wave(buffer.getvalue())
    expected = written.astype(np.float64)
    if dtype == "uint8":
        expected = (expected - 128) / 128
    elif dtype.startswith("int"):
        expected = expected / 2.0 ** (8 * written.itemsize - 1)
    assert rate == RATE
    np.testing.assert_array_equal(samples, expected)


# ITU-T G.711, tables 1a and 2a: the first and the last code of each segment of the positive half, of full scale.
ALAW = {0xD5: 1, 0xDA: 31, 0xC5: 33, 0xCA: 63, 0xF5: 66, 0xFA: 126, 0xE5: 132, 0xAA: 4032}
MULAW = {0xFF: 0, 0xFE: 2, 0xF0: 30, 0xEF: 33, 0xE0: 93, 0xDF: 99, 0x8F: 4191, 0x80: 8031}


@pytest.mark.parametrize(("tag", "codes", "full"), [(6, ALAW, 4096), (7, MULAW, 8192)])
def test_the_two_laws_are_those_of_the_standard(tag, codes, full):
    positive = bytes(codes)
    negative = bytes(code ^ 0x80 for code in codes)
    _, samples = decode_wave(riff(form(tag, 1, 1), chunk(b"data", positive + negative)))
    expected = np.array(list(codes.values())) / full
    np.testing.assert_array_equal(samples, np.concatenate([expected, -expected]))


def test_the_two_laws_are_those_of_the_standard_library_where_it_has_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        library = pytest.importorskip("audioop")
    every = bytes(range(256))
    for tag, decode in ((6, library.alaw2lin), (7, library.ulaw2lin)):
        expected = np.frombuffer(decode(every, 2), np.int16) / 32768
        np.testing.assert_array_equal(decode_wave(riff(form(tag, 1, 1), chunk(b"data", every)))[1], expected)


PCM = form(1, 1, 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"hello, this is no sound", "does not begin as a wav file does"),
        (b"fLaC" + bytes(40), "it is FLAC and no wav; .*ffmpeg"),
        (b"FORM" + bytes(40), "it is AIFF"),
        (riff(PCM)[:30], "its header is cut short"),
        (riff(PCM), "holds no sound"),
        (riff(chunk(b"data", b"ab"), PCM), "before its format"),
        (riff(PCM, chunk(b"data", b"abcd"))[:-1], "it is truncated: its header says 4 bytes of sound, and 3 are there"),
        (riff(PCM, chunk(b"data", b"abc")), "end within a sample of 2 bytes"),
        (riff(form(2, 1, 1), chunk(b"data", b"abcd")), "it holds Microsoft ADPCM, which is not read; .*ffmpeg"),
        (riff(form(0x99, 1, 1), chunk(b"data", b"abcd")), "sound of format 0x0099"),
        (riff(form(1, 1, 5), chunk(b"data", b"abcde")), "5 bytes for the 1 channels"),
        (riff(form(1, 0, 2), chunk(b"data", b"ab")), "0 channels"),
    ],
)
def test_what_cannot_be_read_is_named(content, sentence):
    with pytest.raises(NoWave, match=sentence):
        decode_wave(content)


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 255))
def test_whatever_the_bytes_are_a_fault_is_told_as_one(noise, place, byte):
    spoilt = bytearray(riff(PCM, chunk(b"data", bytes(12))))
    spoilt[min(place, len(spoilt) - 1)] = byte
    for content in (bytes(spoilt), b"RIFF\0\0\0\0WAVE" + noise):
        try:
            rate, samples = decode_wave(content)
        except NoWave:
            continue
        assert rate > 0 and samples.dtype == np.float64
