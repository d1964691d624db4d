"""Recordings as they are kept: one channel, 16 bits a sample, at one rate; what cannot be read is a bad example."""
# SPDX-License-Identifier: Apache-2.0

import math
import os
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from jaxgen.data.examples import BadExample
from jaxgen.data.wav_file import NoWave, decode_wave, read_header

_BEGINNING = 1 << 20  # bytes of a file in which its header is looked for
FULL = 32_768  # a 16-bit sample that would be 1


class Recording(NamedTuple):
    """What was recorded, and what was told of it: words, or a class."""

    place: str
    told: str
    rate: int  # Hz
    samples: np.ndarray  # [N] or [N, channels] float64, full scale from -1 to 1
    name: str = ""  # which of its set it is, wherever the set lies and whatever else is in it


def read_wave(file: Path | IO[bytes]) -> tuple[int, np.ndarray]:
    """The rate, Hz, and the samples of a wav file, as `decode_wave` has them; BadExample when that names a fault."""
    place = str(file) if isinstance(file, Path) else "standard input"
    try:
        return decode_wave(file.read_bytes() if isinstance(file, Path) else file.read())
    except (OSError, NoWave) as error:
        raise BadExample(place, f"no whole wav can be read from it ({error})") from None


def samples_told(file: Path | IO[bytes], rate: int) -> int | None:
    """How many samples a wav file has at `rate` Hz, by its header and its size alone; None where these do not tell."""
    try:
        if isinstance(file, Path):
            with open(file, "rb") as opened:
                return samples_told(opened, rate)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        header = read_header(file.read(_BEGINNING))
        file.seek(0)
    except (OSError, NoWave):
        return None  # reading it names the fault
    if header is None:
        return None
    whole = (header.size if header.sized else size - header.start) // header.format.frame
    return -(-whole * rate // header.format.rate)


def as_samples(recording: Recording, rate: int, resample: bool) -> np.ndarray:
    """[N] int16: the channels' mean at `rate` Hz; floats beyond full scale are cut to it.

    A polyphase filter resamples (scipy's `resample_poly`). BadExample for a recording of another rate, unless that is
    asked for, and for one without a sample or with one that is no number.
    """
    place, _, own, samples, _ = recording
    if not samples.size:
        raise BadExample(place, "it holds no sample")
    if not np.isfinite(samples).all():
        raise BadExample(place, "a sample of it is no finite number")
    if own != rate and not resample:
        raise BadExample(place, f"its rate is {own} Hz and not {rate} (data.resample=true converts it)")
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    if own != rate:
        from scipy.signal import resample_poly

        common = math.gcd(own, rate)
        mono = resample_poly(mono, rate // common, own // common)
    return np.clip(np.rint(mono * FULL), -FULL, FULL - 1).astype(np.int16)
