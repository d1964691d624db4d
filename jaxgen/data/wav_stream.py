"""A wav file read as it comes: its samples in pieces, one channel at the rate asked for."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator
from typing import IO

import numpy as np

from jaxgen.data.examples import BadExample
from jaxgen.data.wav_file import Header, NoWave, read_header, samples_of
from jaxgen.data.waves import FULL

_LONGEST_HEADER = 1 << 20  # bytes
_FILTER = 10  # of scipy's `resample_poly`: samples of the lower rate on each side that a sample depends on


def wave_pieces(file: IO[bytes], place: str, rate: int, piece: int) -> Iterator[np.ndarray]:
    """[n] int16 at `rate` Hz, about `piece` samples at a time; as `as_samples` has them of the whole file.

    BadExample, which calls the file `place`, where it is no wav, ends before its time, or holds no sample.
    """
    try:
        header, begun = _header(file)
        resampler, count = Resampler(header.format.rate, rate), 0
        bytes_wanted = max(1, piece * header.format.rate // rate) * header.format.frame
        for sound in _sounds(file, header, begun, bytes_wanted):
            samples = samples_of(sound, header.format)
            if not np.isfinite(samples).all():
                raise NoWave("a sample of it is no finite number")
            count += len(samples)
            yield resampler.push(samples if samples.ndim == 1 else samples.mean(axis=1))
        if not count:
            raise NoWave("it holds no sample")
        yield resampler.end()
    except (OSError, NoWave) as error:
        raise BadExample(place, f"no whole wav can be read from it ({error})") from None


def _header(file: IO[bytes]) -> tuple[Header, bytes]:
    """The header, and what was read behind it."""
    content = b""
    while len(content) < _LONGEST_HEADER:
        more = file.read1(4096)
        content += more
        if (not more or len(content) >= 12) and (header := read_header(content)) is not None:
            return header, content[header.start :]
        if not more:
            break
    raise NoWave("its header is cut short, or holds no sound")


def _sounds(file: IO[bytes], header: Header, begun: bytes, wanted: int) -> Iterator[bytes]:
    """The bytes of whole samples, as soon as there are some; NoWave where fewer come than the header says."""
    frame, read = header.format.frame, 0
    left = header.size if header.sized else None
    rest = begun
    while True:
        rest = rest if left is None else rest[: left - read]
        whole = len(rest) // frame * frame
        if whole:
            yield rest[:whole]
            read, rest = read + whole, rest[whole:]
        if left is not None and read >= left:
            return
        more = file.read1(wanted)
        if not more:
            break
        rest += more
    if left is not None:
        raise NoWave(f"it is truncated: its header says {left:,} bytes of sound, and {read:,} are there")


class Resampler:
    """Samples of one rate converted to another piece by piece, to what `resample_poly` makes of the whole."""

    def __init__(self, own: int, rate: int):
        common = math.gcd(own, rate)
        self._up, self._down = rate // common, own // common
        context = _FILTER * max(self._up, self._down) // self._up + 1
        self._blocks = -(-context // self._down)  # of `down` samples: what a block depends on, on each side
        self._held, self._given = np.zeros(0), 0  # from the block `given - blocks` on; blocks given out
        self._first = 0  # the block that `held` begins with

    def push(self, samples: np.ndarray) -> np.ndarray:
        """[n] int16: what is settled by these further samples."""
        self._held = np.concatenate([self._held, samples])
        settled = self._first + len(self._held) // self._down - (0 if self._up == self._down else self._blocks)
        return self._out(max(settled, self._given))

    def end(self) -> np.ndarray:
        """[n] int16: all that is left."""
        return self._out(None)

    def _out(self, until: int | None) -> np.ndarray:
        if until == self._given:
            return np.zeros(0, np.int16)
        if self._up == self._down:
            made = self._held
        else:
            from scipy.signal import resample_poly

            made = resample_poly(self._held, self._up, self._down)
        start = (self._given - self._first) * self._up
        made = made[start:] if until is None else made[start : start + (until - self._given) * self._up]
        if until is not None:
            first = max(0, until - self._blocks)
            self._held = self._held[(first - self._first) * self._down :]
            self._first, self._given = first, until
        return np.clip(np.rint(made * FULL), -FULL, FULL - 1).astype(np.int16)
