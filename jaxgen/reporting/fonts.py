"""The letters in pictures: a font of the system's for what Pillow's own, of ASCII alone, does not have."""
# SPDX-License-Identifier: Apache-2.0

import functools
import unicodedata
from collections.abc import Iterable

_SYSTEM = (  # those that have the most scripts first; Pillow looks in the system's folders
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "Helvetica.ttc",
)
_NO_CHARACTER = "\uffff"  # no font has it


def font_for(texts: Iterable[str], size: int):
    """A font of `size` pixels for these texts: Pillow's own where they are ASCII, else the system's with most of them.

    Show by it what `legible` makes of a text.
    """
    letters = "".join(texts)
    if letters.isascii():
        return _own(size)
    letters, fonts = set(letters), (*_system(size), _own(size))
    return max(fonts, key=lambda font: sum(map(functools.partial(has, font), letters)))


def legible(text: str, font) -> str:
    """The text with every character that the font lacks as its base letter ("ä" as "a"), or as "?"."""
    return "".join(one if has(font, one) else _base(one, font) for one in text)


def has(font, character: str) -> bool:
    """Whether the font has a picture of the character."""
    return character.isspace() or _drawn(font, character) != _drawn(font, _NO_CHARACTER)


def _base(character: str, font) -> str:
    base = unicodedata.normalize("NFKD", character)[0]
    return base if has(font, base) else "?"


def _drawn(font, character: str) -> tuple:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


def _own(size: int):
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


@functools.lru_cache(maxsize=4)
def _system(size: int) -> tuple:
    """Those of the system's fonts that are there."""
    from PIL import ImageFont

    found = []
    for name in _SYSTEM:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # it is not there
            continue
    return tuple(found)
