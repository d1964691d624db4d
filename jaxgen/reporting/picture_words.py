"""Pictures with words on one PNG: beside captions, below prompts, and once for each word with what it attended to."""
# SPDX-License-Identifier: Apache-2.0

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from jaxgen.reporting.fonts import font_for, legible

_SIDE = 96  # pixels that a picture's longer side is magnified to at least
_MARGIN, _SIZE, _LINE = 8, 13, 17  # pixels between parts, of letters, of a line
_WIDE = 34  # letters of a caption's line
_ACROSS = 10  # pictures of a prompt beside each other
_FAINT = 0.15  # of a picture where nothing is attended to


def captioned_pictures(pixels: UInt8[np.ndarray, "N H W C"], captions: Sequence[str]) -> bytes:
    """A PNG of all pictures below each other, its caption right of each."""
    from PIL import Image, ImageDraw

    pictures = [_magnified(one) for one in pixels]
    width, height = pictures[0].size
    font = font_for(captions, _SIZE)
    lines = [_wrapped(legible(caption, font)) for caption in captions]
    left = width + 2 * _MARGIN
    right = int(max(font.getlength(line) for several in lines for line in several)) + 2 * _MARGIN
    tall = [max(height, _LINE * len(several)) + _MARGIN for several in lines]
    page = Image.new("RGB", (left + right, sum(tall) + _MARGIN), "white")
    draw, top = ImageDraw.Draw(page), _MARGIN
    for picture, several, step in zip(pictures, lines, tall, strict=True):
        page.paste(picture, (_MARGIN, top))
        first = top + (step - _MARGIN - _LINE * len(several)) // 2
        for number, line in enumerate(several):
            draw.text((left, first + _LINE * number), line, fill="black", font=font)
        top += step
    return _png(page)


def prompted_pictures(pixels: UInt8[np.ndarray, "N H W C"], prompts: Sequence[str]) -> bytes:
    """A PNG of all pictures, those of one prompt side by side below it; beside their prompts where each has its own."""
    from PIL import Image, ImageDraw

    groups: dict[str, list] = {prompt: [] for prompt in prompts}
    if len(groups) == len(pixels):
        return captioned_pictures(pixels, prompts)
    for picture, prompt in zip(pixels, prompts, strict=True):
        groups[prompt].append(_magnified(picture))
    across, down = (side + _MARGIN for side in _magnified(pixels[0]).size)
    font = font_for(prompts, _SIZE)
    wide = max(_MARGIN + across * min(_ACROSS, max(map(len, groups.values()))), int(font.getlength("n" * _WIDE)))
    rows = [(legible(prompt, font), own) for prompt, own in groups.items()]
    rows = [(_wrapped(prompt, wide // int(font.getlength("n"))), own) for prompt, own in rows]
    tall = [_LINE * len(lines) + down * -(-len(own) // _ACROSS) for lines, own in rows]
    page = Image.new("RGB", (wide, sum(tall) + _MARGIN), "white")
    draw, top = ImageDraw.Draw(page), _MARGIN
    for (lines, own), step in zip(rows, tall, strict=True):
        for number, line in enumerate(lines):
            draw.text((_MARGIN, top + _LINE * number), line, fill="black", font=font)
        for number, picture in enumerate(own):
            row, column = divmod(number, _ACROSS)
            page.paste(picture, (_MARGIN + across * column, top + _LINE * len(lines) + down * row))
        top += step
    return _png(page)


def attended_pictures(
    pixels: UInt8[np.ndarray, "N H W C"], weights: Sequence[Float[np.ndarray, "T S"]], words: Sequence[Sequence[str]]
) -> bytes:
    """A PNG with a row for each picture: itself, and for each of its words the places of a grid that this attended to.

    S places are h x w, row by row. A place that no other of its word outweighs is as it is, one of no weight is faint.
    """
    from PIL import Image, ImageDraw

    pictures = [_magnified(one) for one in pixels]
    width, height = pictures[0].size
    font = font_for([word for several in words for word in several], _SIZE)
    across, down = width + _MARGIN, height + _LINE + _MARGIN
    most = max(map(len, words), default=0)
    page = Image.new("RGB", (_MARGIN + across * (1 + most), _MARGIN + down * len(pictures)), "white")
    draw = ImageDraw.Draw(page)
    for row, (picture, rows, several) in enumerate(zip(pictures, weights, words, strict=True)):
        top = _MARGIN + down * row
        page.paste(picture, (_MARGIN, top + _LINE))
        for column, (word, one) in enumerate(zip(several, rows, strict=False), 1):
            left = _MARGIN + across * column
            draw.text((left + width / 2, top), _fitting(legible(word, font), font, width), "black", font, "ma")
            page.paste(_faded(picture, _grid(one, height / width)), (left, top + _LINE))
    return _png(page)


def _wrapped(caption: str, letters: int = _WIDE) -> list[str]:
    return [part for line in caption.split("\n") for part in textwrap.wrap(line, letters)] or [""]


def _grid(weights: np.ndarray, ratio: float) -> np.ndarray:
    """[h, w] of [h * w] weights over a picture whose height is `ratio` times its width, from 0 to 1."""
    down = max(1, round((len(weights) * ratio) ** 0.5))
    return weights.reshape(down, -1) / max(float(weights.max()), 1e-9)


def _faded(picture, weights: np.ndarray):
    """The picture, white showing through where weights are low."""
    from PIL import Image

    shown = np.rint(255 * (_FAINT + (1 - _FAINT) * weights)).astype(np.uint8)
    mask = Image.fromarray(shown).resize(picture.size, Image.Resampling.NEAREST)
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), mask)


def _magnified(pixels: np.ndarray):
    from PIL import Image

    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    scale = max(1, -(-_SIDE // max(picture.size)))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _fitting(word: str, font, width: int) -> str:
    """As much of a word as there is room for."""
    word = word.strip() or "_"
    while len(word) > 1 and font.getlength(word) > width:
        word = word[:-1]
    return word


def _png(page) -> bytes:
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
