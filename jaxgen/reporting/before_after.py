"""A sheet that shows a photograph before and after restoration, and how sure each place of it is, side by side."""
# SPDX-License-Identifier: Apache-2.0

import io
from pathlib import Path

import numpy as np

from jaxgen.reporting.fonts import font_for

_MARK = "Software", "jaxgen restore"  # a PNG's text by which a sheet is known again
_LONG_SIDE = 640  # pixels that a panel's longer side has about
_LINE = 24  # pixels of a line of words
_GUTTER, _SCALE_HEIGHT = 12, 12
_NARROWEST = 160  # pixels of a panel, so that its words fit


def sheet(before: np.ndarray, after: np.ndarray, spread: np.ndarray | None) -> bytes:
    """The bytes of a PNG: `before` and `after` [H, W, C] uint8, `spread` [H, W] levels of 255 with a scale below.

    Before may be smaller. Small pictures are magnified to whole squares, large ones scaled down.
    """
    from PIL import Image, ImageDraw, PngImagePlugin

    height, width = after.shape[:2]
    size = _panel_size(height, width)
    panels = [("before", _coloured(before)), ("after", _coloured(after))]
    if spread is not None:
        most = max(float(spread.max()), 1e-9)
        shades = np.rint(spread * (255 / most)).astype(np.uint8)
        panels.append(("spread of the restorations", _coloured(shades[..., None])))
    step = max(size[0], _NARROWEST) + _GUTTER
    below = 0 if spread is None else _GUTTER + _SCALE_HEIGHT + _LINE
    canvas = Image.new("RGB", (len(panels) * step + _GUTTER, _LINE + size[1] + below + _GUTTER), "white")
    draw, font = ImageDraw.Draw(canvas), font_for([name for name, _ in panels], 13)
    for number, (name, pixels) in enumerate(panels):
        way = Image.Resampling.NEAREST if size[0] >= width else Image.Resampling.BOX
        left = _GUTTER + number * step
        canvas.paste(Image.fromarray(pixels).resize(size, way), (left, _LINE))
        draw.text((left, 4), name, fill="black", font=font)
    if spread is not None:
        _draw_scale(canvas, _GUTTER + 2 * step, _LINE + size[1] + _GUTTER, max(size[0], _NARROWEST), most)
    buffer = io.BytesIO()
    marked = PngImagePlugin.PngInfo()
    marked.add_text(*_MARK)
    canvas.save(buffer, "PNG", optimize=True, pnginfo=marked)
    return buffer.getvalue()


def is_sheet(file: Path) -> bool:
    """Whether a file is one of these sheets, which may be replaced, and nothing of the user's own."""
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return picture.info.get(_MARK[0]) == _MARK[1]
    except (OSError, ValueError, SyntaxError):  # Pillow's, for what is no PNG or a broken one
        return False


def _draw_scale(canvas, left: int, top: int, width: int, most: float) -> None:
    """From black, no spread, to white, the most that there is."""
    from PIL import Image, ImageDraw

    ramp = np.linspace(0, 255, width).astype(np.uint8)[None].repeat(_SCALE_HEIGHT, axis=0)
    canvas.paste(Image.fromarray(ramp), (left, top))
    draw, font, below = ImageDraw.Draw(canvas), font_for(["0"], 13), top + _SCALE_HEIGHT + 3
    draw.rectangle((left, top, left + width - 1, top + _SCALE_HEIGHT - 1), outline="grey")
    draw.text((left, below), "0", fill="black", font=font)
    draw.text((left + width, below), f"{most:.3g} of 255 levels", fill="black", font=font, anchor="ra")


def _panel_size(height: int, width: int) -> tuple[int, int]:
    """Width and height of a panel."""
    scale = _LONG_SIDE / max(height, width)
    scale = max(1, int(scale)) if scale >= 1 else scale
    return max(1, round(width * scale)), max(1, round(height * scale))


def _coloured(pixels: np.ndarray) -> np.ndarray:
    """[H, W, 3]."""
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
