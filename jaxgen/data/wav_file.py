"""Wav files as people have them: every width, pipes' headers without sizes, other chunks, A-law and mu-law.

The layout is that of "Multiple Channel Audio Data and WAVE Files" (Microsoft 2007) and, for files above 4 GiB, of EBU
Tech 3306 (RF64); A-law and mu-law are ITU-T G.711.
"""
# SPDX-License-Identifier: Apache-2.0

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_OTHERS = {2: "Microsoft ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x50: "MPEG", 0x55: "MP3", 0xFF: "AAC"}
_FILES = {b"fLaC": "FLAC", b"OggS": "Ogg", b"FORM": "AIFF", b"ID3\x03": "MP3", b"ID3\x04": "MP3", b"caff": "CAF"}
_CONVERT = "`ffmpeg -i IN -c:a pcm_s16le OUT.wav` converts it"
_HIGHEST = 1_000_000  # Hz: a rate above it is damage, and a filter that converts it would fill the memory
_UNKNOWN = 0x7FFFF000  # what pipes write as a size lies between this and 2 ** 32 - 1, or is 0


class NoWave(ValueError):
    """What is wrong with a file that should be a wav."""


class Format(NamedTuple):
    """How samples are written."""

    tag: int
    channels: int
    rate: int  # Hz
    width: int  # bytes of one channel's sample
    order: str  # "<" or ">"

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.width


class Header(NamedTuple):
    """What stands before the samples."""

    format: Format
    start: int  # the first byte of the samples
    size: int  # their bytes, as it says
    piped: int  # the bytes of the file, as it says

    @property
    def sized(self) -> bool:
        """Whether the size was known when it was written, as it is not in a pipe."""
        return self.size < _UNKNOWN and not (not self.size and (not self.piped or self.piped >= _UNKNOWN))


def decode_wave(content: bytes) -> tuple[int, np.ndarray]:
    """The rate, Hz, and the samples [N], or [N, channels], float64 with full scale from -1 to 1; NoWave names a fault.

    Floats are what they are. Sizes that a pipe could not know are those of the file.
    """
    header = read_header(content)
    if header is None:
        raise NoWave("its header is cut short, or holds no sound")
    return header.format.rate, samples_of(_sound(content[header.start :], header), header.format)


def read_header(content: bytes) -> Header | None:
    """The header that a file begins with, where it is whole; NoWave names a fault."""
    kind = content[:4]
    if kind not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or content[8:12] != b"WAVE":
        raise NoWave(_what_it_is(content))
    order, found = ">" if kind == b"RIFX" else "<", None
    piped = struct.unpack(f"{order}I", content[4:8])[0]
    large = None
    for name, start, size in _chunks(content, order):
        if name in (b"ds64", b"fmt ") and start + size > len(content):
            return None  # what comes through a pipe may be cut anywhere
        if name == b"ds64" and size >= 16:
            large = struct.unpack("<Q", content[start + 8 : start + 16])[0]
        elif name == b"fmt ":
            found = _format(content[start : start + size], order)
        elif name == b"data":
            if found is None:
                raise NoWave("its sound comes before its format")
            return Header(found, start, large if size == 0xFFFFFFFF and large is not None else size, piped)
    return None


def _chunks(content: bytes, order: str) -> Iterator[tuple[bytes, int, int]]:
    """The name, the first byte and the size of each chunk; one of an odd size has a byte behind it."""
    place = 12
    while place + 8 <= len(content):
        name, size = struct.unpack(f"{order}4sI", content[place : place + 8])
        yield name, place + 8, size
        place += 8 + size + size % 2


def _format(chunk: bytes, order: str) -> Format:
    if len(chunk) < 16:
        raise NoWave("its header is cut short")
    tag, channels, rate, _, frame, bits = struct.unpack(f"{order}HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack(f"{order}H", chunk[24:26])[0]  # the first of the 16 bytes that name the kind
    widths = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8), _ALAW: (1,), _MULAW: (1,)}
    if tag not in widths:
        raise NoWave(f"it holds {_OTHERS.get(tag, f'sound of format {tag:#06x}')}, which is not read; {_CONVERT}")
    if not channels or not 0 < rate <= _HIGHEST:
        raise NoWave(f"its header says {channels} channels at {rate} Hz")
    width = frame // channels
    if width not in widths[tag] or frame % channels:
        raise NoWave(f"its header says {frame} bytes for the {channels} channels of a sample, and {bits} bits")
    return Format(tag, channels, rate, width, order)


def _sound(rest: bytes, header: Header) -> bytes:
    """The bytes of the samples, of what follows the header; whole frames, where nobody knew how many there would be."""
    size, frame = header.size, header.format.frame
    if not header.sized and (size > len(rest) or not size):
        return rest[: len(rest) // frame * frame]
    if size > len(rest):
        raise NoWave(f"it is truncated: its header says {size:,} bytes of sound, and {len(rest):,} are there")
    if size % frame:
        raise NoWave(f"its {size:,} bytes of sound end within a sample of {frame} bytes")
    return rest[:size]


def samples_of(sound: bytes, found: Format) -> np.ndarray:
    """[N] or [N, channels] float64."""
    match found.tag, found.width:
        case (1, 1):  # unsigned, as no other width is
            values = np.frombuffer(sound, np.uint8) / 128 - 1
        case (1, 3):
            values = _three_bytes(sound, found.order) / 2**23
        case (1, width):
            values = np.frombuffer(sound, f"{found.order}i{width}") / 2.0 ** (8 * width - 1)
        case (3, width):
            values = np.frombuffer(sound, f"{found.order}f{width}").astype(np.float64)
        case (6, _):
            values = _alaw()[np.frombuffer(sound, np.uint8)]
        case _:
            values = _mulaw()[np.frombuffer(sound, np.uint8)]
    return values if found.channels == 1 else values.reshape(-1, found.channels)


def _three_bytes(sound: bytes, order: str) -> np.ndarray:
    """Signed integers of three bytes each: as the upper three of four, and back."""
    parts = np.frombuffer(sound, np.uint8).reshape(-1, 3)
    whole = np.zeros((len(parts), 4), np.uint8)
    whole[:, (slice(1, 4) if order == "<" else slice(0, 3))] = parts
    return whole.view(f"{order}i4")[:, 0] >> 8


def _alaw() -> np.ndarray:
    """[256] what each byte of A-law stands for: 13 bits."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = np.where(exponent == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, size, -size) / 4096


def _mulaw() -> np.ndarray:
    """[256] what each byte of mu-law stands for: 14 bits."""
    code = ~np.arange(256) & 0xFF
    size = ((2 * (code & 15) + 33) << ((code >> 4) & 7)) - 33
    return np.where(code & 0x80, -size, size) / 8192


def _what_it_is(content: bytes) -> str:
    if not content:
        return "the file is empty"
    if (name := _FILES.get(content[:4])) is not None:
        return f"it is {name} and no wav; {_CONVERT}"
    return "it does not begin as a wav file does"
