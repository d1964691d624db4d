"""Sample grids: many small pictures on one PNG, magnified so that single pixels can be seen."""
# SPDX-License-Identifier: Apache-2.0

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import ArrayLike, Num, UInt8

from jaxgen.reporting.fonts import font_for, legible

LABEL_HEIGHT = 18  # pixels of the line of column labels
LABEL_GREY = 128  # readable on a white page and on a black one, since the gutters are transparent


def levels_to_pixels(images: Num[ArrayLike, "..."], levels: int) -> UInt8[np.ndarray, "..."]:
    """Grey levels 0..levels-1 as pixels 0..255, evenly spread and rounded; 256 levels are the pixels themselves.

    Raises ValueError where a value lies outside the levels.
    """
    values = np.asarray(images, np.float64)
    if levels < 2:
        raise ValueError(f"{levels} levels make no picture; at least 2 are needed")
    if values.size and not (values.min() >= 0 and values.max() <= levels - 1):
        raise ValueError(f"values {values.min():g} to {values.max():g} are not among the levels 0 to {levels - 1}")
    return np.rint(values * (255 / (levels - 1))).astype(np.uint8)


def image_grid(
    images: UInt8[ArrayLike, "N H W C"], columns: int, scale: int, labels: Sequence[str] | None = None
) -> bytes:
    """The pictures row by row as the bytes of one PNG (grey for C = 1, colour for C = 3) with transparent gutters.

    Picture i stands in column i % columns: samples of classes 0, 1, ... 9, 0, 1, ... with 10 columns give a column a
    class. Each pixel becomes a square of `scale` pixels (5 or 6 for 8x8 digits, 2 for 28x28). `labels`: one a column.
    Raises ValueError for another dtype, shape or number of labels.
    """
    from PIL import Image

    images = np.asarray(images)
    _check(images, columns, scale, labels)
    count, height, width, channels = images.shape
    gutter, top = max(2, scale // 2), LABEL_HEIGHT if labels else 0
    step_y, step_x = height * scale + gutter, width * scale + gutter
    rows = -(-count // columns)
    canvas = np.zeros((top + rows * step_y - gutter, columns * step_x - gutter, channels + 1), np.uint8)
    magnified = images.repeat(scale, axis=1).repeat(scale, axis=2)  # [N, H*scale, W*scale, C]
    for index, picture in enumerate(magnified):
        y, x = top + index // columns * step_y, index % columns * step_x
        canvas[y : y + height * scale, x : x + width * scale, :channels] = picture
        canvas[y : y + height * scale, x : x + width * scale, channels] = 255
    grid = Image.fromarray(canvas)  # two channels are grey and alpha, four are RGBA
    if labels:
        _write_labels(grid, labels, step_x, gutter)
    buffer = io.BytesIO()
    grid.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _check(images: np.ndarray, columns: int, scale: int, labels: Sequence[str] | None) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"a grid takes uint8 pictures [N, H, W, 1 or 3], not {images.dtype} {list(images.shape)}")
    if columns < 1 or scale < 1:
        raise ValueError(f"columns ({columns}) and scale ({scale}) must be 1 or more")
    if labels is not None and len(labels) != columns:
        raise ValueError(f"{len(labels)} labels for {columns} columns")


def _write_labels(grid, labels: Sequence[str], step_x: int, gutter: int) -> None:
    from PIL import ImageDraw

    colour = (LABEL_GREY,) * (len(grid.getbands()) - 1) + (255,)
    font, draw = font_for(labels, 12), ImageDraw.Draw(grid)
    for column, label in enumerate(labels):
        place = column * step_x + (step_x - gutter) / 2, 2
        draw.text(place, legible(label, font), fill=colour, font=font, anchor="ma")
