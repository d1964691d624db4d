"""Attention maps: how much each place of what was made attends to each place of what was given, as one PNG."""
# SPDX-License-Identifier: Apache-2.0

import io
from collections.abc import Sequence

import numpy as np

from jaxgen.reporting.fonts import font_for, legible

_CELL, _MARGIN, _SIZE = 22, 8, 12  # pixels of a cell's side, between parts, of letters
_LONGEST = 16  # letters of a label


def attention_maps(
    maps: Sequence[np.ndarray], down: Sequence[Sequence[str]], across: Sequence[Sequence[str]]
) -> bytes:
    """One map [T, S] of weights in [0, 1] below another, its rows and columns labelled; darker is more."""
    from PIL import Image

    drawn = [_map(*one) for one in zip(maps, down, across, strict=True)]
    width = max(one.width for one in drawn)
    canvas = Image.new("RGB", (width, sum(one.height for one in drawn)), "white")
    top = 0
    for one in drawn:
        canvas.paste(one, (0, top))
        top += one.height
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _map(weights: np.ndarray, down: Sequence[str], across: Sequence[str]):
    from PIL import Image, ImageDraw

    font = font_for((*down, *across), _SIZE)
    down, across = ([_short(legible(label, font)) for label in labels] for labels in (down, across))
    left, top = (int(max(map(font.getlength, labels), default=0)) + 2 * _MARGIN for labels in (down, across))
    width, height = left + _CELL * len(across) + _MARGIN, top + _CELL * len(down) + _MARGIN
    picture = Image.new("RGB", (width, height), "white")
    for column, label in enumerate(across):
        place = left + _CELL * column, 0
        picture.paste(_upwards(label, (_CELL, top - _MARGIN // 2), font), place)
    draw = ImageDraw.Draw(picture)
    for row, label in enumerate(down):
        draw.text((left - _MARGIN, top + _CELL * row + _CELL / 2), label, fill="black", font=font, anchor="rm")
        for column in range(len(across)):
            level = round(255 * (1 - float(weights[row, column])))
            corner = left + _CELL * column, top + _CELL * row
            draw.rectangle((*corner, corner[0] + _CELL - 2, corner[1] + _CELL - 2), fill=(level, level, 255))
    return picture


def _upwards(label: str, size: tuple[int, int], font):
    """A label of so many pixels that is read from below upwards and begins at the bottom."""
    from PIL import Image, ImageDraw

    flat = Image.new("RGB", size[::-1], "white")
    ImageDraw.Draw(flat).text((0, size[0] / 2), label, fill="black", font=font, anchor="lm")
    return flat.transpose(Image.Transpose.ROTATE_90)


def _short(label: str) -> str:
    label = label.strip() or "_"
    return label if len(label) <= _LONGEST else label[: _LONGEST - 2] + ".."
