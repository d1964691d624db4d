"""A program that speaks: a list of utterances on stdin, their 16-bit samples on stdout. Run by `espeak.py`.

espeak-ng keeps its state for the whole process (noise, flutter of the voice): a fresh process with a fixed seed gives
the same samples for the same list. Neither jaxgen nor jax is imported, so that it begins quickly.
"""
# SPDX-License-Identifier: Apache-2.0

import ctypes
import json
import math
import os
import sys

import numpy as np

_SYNCHRONOUS, _CHARACTERS, _UTF8 = 2, 1, 1  # AUDIO_OUTPUT_SYNCHRONOUS; POS_CHARACTER; espeakCHARS_UTF8
_RATE, _PITCH = 1, 3  # espeakRATE, words a minute; espeakPITCH, 0 .. 100
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_QUIET = 0.01  # of the loudest sample: what is below it at the ends is silence
_MARGIN = 0.03  # seconds that stay beside the first and the last sound
_LOUDEST = 0.5  # of full scale


class Voice:
    """The library, begun anew with a fixed seed."""

    def __init__(self, library: str, data: str):
        self._library = ctypes.CDLL(library)
        self.rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), 0)
        if self.rate <= 0:
            raise SystemExit(f"espeak-ng cannot read {data}")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._parts: list[np.ndarray] = []
        self._callback = _CALLBACK(self._take)  # kept: the library holds no reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples, count: int, events) -> int:
        if samples and count:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
        """[n] int16 at `rate`."""
        self._parts.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise SystemExit(f"espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(_RATE, speed, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        content = text.encode() + b"\0"
        size = ctypes.c_size_t(len(content))
        self._library.espeak_Synth(content, size, 0, _CHARACTERS, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.int16)


def trimmed(samples: np.ndarray, rate: int) -> np.ndarray:
    """[m] without the silence before the first sound and after the last one."""
    size = np.abs(samples)
    loud = np.flatnonzero(size > _QUIET * size.max(initial=0.0))
    margin = round(_MARGIN * rate)
    return samples[max(0, loud[0] - margin) : loud[-1] + 1 + margin] if len(loud) else samples[:0]


def main() -> None:
    """Reads {"library", "data", "rate", "utterances"}, and writes the length (uint32) and the samples of each.

    An utterance is [text, voice, speed, pitch].
    """
    from scipy.signal import resample_poly

    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "wb")  # the library writes to stdout of its own accord
    os.dup2(2, 1)
    voice = Voice(asked["library"], asked["data"])
    common = math.gcd(asked["rate"], voice.rate)
    for utterance in asked["utterances"]:
        said = trimmed(voice.say(*utterance).astype(np.float64), voice.rate)
        said = resample_poly(said, asked["rate"] // common, voice.rate // common) if len(said) else said
        said *= _LOUDEST * 32_767 / max(1.0, np.abs(said).max(initial=0.0))
        out.write(np.uint32(len(said)).tobytes() + np.rint(said).astype(np.int16).tobytes())
    out.close()


if __name__ == "__main__":
    main()
