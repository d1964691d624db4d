"""Folders as users have them, made here: recordings with transcripts.tsv, pictures with captions.jsonl."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import wavfile

RATE = 2000  # Hz
_TONES = {"low": 150, "mid": 320, "high": 700}  # Hz
_COLOURS = {"red": (200, 30, 40), "green": (30, 180, 60), "blue": (40, 50, 220)}
_kept = []  # the folders go when the process ends


@functools.cache
def recordings() -> str:
    """Tones one after another, and which they are: 120 recordings of half a second to a second and a half."""
    folder, lines = _folder(), []
    drawn = np.random.default_rng(0)
    for number in range(120):
        words = drawn.choice(list(_TONES), drawn.integers(1, 4))
        parts = [np.sin(2 * np.pi * _TONES[word] * np.arange(RATE // 2) / RATE) for word in words]
        samples = 8000 * np.concatenate(parts) + 300 * drawn.standard_normal(len(words) * (RATE // 2))
        wavfile.write(folder / f"{number}.wav", RATE, samples.astype(np.int16))
        lines.append(f"{number}.wav\t{' '.join(words)}")
    (folder / "transcripts.tsv").write_text("\n".join(lines))
    return str(folder)


@functools.cache
def captioned() -> str:
    """A square of a colour in a corner of each picture, and a caption that says so."""
    folder, lines = _folder(), []
    drawn = np.random.default_rng(0)
    places = itertools.product(_COLOURS, ("above", "below"), ("left", "right"), range(10))
    for number, (colour, row, column, _) in enumerate(places):
        pixels = np.full((8, 8, 3), 250, np.uint8) - drawn.integers(0, 40, (8, 8, 3)).astype(np.uint8)
        top, left = 4 * (row == "below"), 4 * (column == "right")
        pixels[top : top + 4, left : left + 4] = _COLOURS[colour]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(json.dumps({"file": f"{number}.png", "caption": f"{colour} {row} {column}"}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return str(folder)


def _folder() -> Path:
    _kept.append(tempfile.TemporaryDirectory())
    return Path(_kept[-1].name)
