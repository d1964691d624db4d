"""Pictures of emoji and their names, split so that captions of the test split combine what was never seen together."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxgen.data.emoji import drawings
from jaxgen.data.emoji_names import words_of
from jaxgen.errors import UserError, nearest

_TONES = dict(zip("🏻🏼🏽🏾🏿", ("light", "medium-light", "medium", "medium-dark", "dark"), strict=True))
_PERSONS = {  # the signs, and the characters whose name in English says one
    **dict.fromkeys("👩\u2640👧👭👵👸💃🤰🤶🧕", ("woman",)),
    **dict.fromkeys("👨\u2642👦👬👴🤴🕺🎅\U0001fac3", ("man",)),
    "👫": ("woman", "man"),
}
_NEITHER = "neither"  # a person, a hand
# each with other ones in training: women of four tones, medium skin on men and on hands, and so on
HELD_OUT = (("medium", "woman"), ("dark", "man"), ("light", _NEITHER))


class Captions(NamedTuple):
    """Pictures [N, H, W, 3] uint8, what each is called whatever else there is, and its caption."""

    names: tuple[str, ...]
    pictures: np.ndarray
    captions: tuple[str, ...]


@dataclass(frozen=True)
class EmojiCaptions:
    """OpenMoji's drawings at `size` pixels a side, given; their names in a `language` (two letters), to be made.

    The "test" split is every emoji that shows a skin tone with a person of `HELD_OUT`, and no emoji that is trained on
    does, whatever else it shows: all other tones of the same emoji are trained on, and so is the tone with others.
    A picture that stands for several captions, or in both splits, is no part of the test.
    """

    size: int = 32
    language: str = "en"

    def __post_init__(self):
        if self.size < 8:
            raise UserError(f"data.pictures.size is {self.size}; give at least 8 pixels")

    def __str__(self) -> str:
        return f"emoji-captions {self.language}"

    def splits(self) -> dict[str, Captions]:
        """ "train" and "test". UserError for a language without names, or without the packages."""
        return _splits(self.size, self.language)[0]

    def told(self) -> Iterator[str]:
        """Which pairs are held out, and how many pictures the test leaves out."""
        splits, left_out = _splits(self.size, self.language)
        pairs = ", ".join(f"{tone} skin with {person}" for tone, person in HELD_OUT)
        yield (
            f"{self}: never together in training ({len(splits['train'].names):,} pictures), and in each picture of the "
            f"test ({len(splits['test'].names):,}): {pairs} (neither: no woman and no man)"
        )
        yield (
            f"{self}: {left_out} more with such a pair are in no split: at {self.size}x{self.size} pixels others, of "
            "another name, are drawn alike"
        )


@functools.cache
def _splits(size: int, language: str) -> tuple[dict[str, Captions], int]:
    characters, pictures = drawings(size)
    names = _names(language)
    named = [place for place, one in enumerate(characters) if one in names]
    order = [named[place] for place in np.random.default_rng(0).permutation(len(named))]
    drawn_alike = Counter(pictures[place].tobytes() for place in named)
    held = {place for place in order if pairs_of(characters[place]) & set(HELD_OUT)}
    alone = {place for place in held if drawn_alike[pictures[place].tobytes()] == 1}
    parts = {"train": [place for place in order if place not in held], "test": [p for p in order if p in alone]}

    def captions(places: list[int]) -> Captions:
        shown = tuple(characters[place] for place in places)
        return Captions(shown, pictures[places], tuple(names[one] for one in shown))

    return {split: captions(places) for split, places in parts.items()}, len(held) - len(alone)


def pairs_of(characters: str) -> set[tuple[str, str]]:
    """Each skin tone with each person that an emoji shows, both by their code points, in whatever language."""
    persons = set().union(*(_PERSONS.get(one, ()) for one in characters)) or {_NEITHER}
    return set(itertools.product({_TONES[one] for one in characters if one in _TONES}, persons))


def _names(language: str) -> dict[str, str]:
    import emoji

    if language not in emoji.LANGUAGES:
        raise UserError(
            f"data.pictures.language is {language!r}, a language that emoji have no names in"
            f"{nearest(language, emoji.LANGUAGES)}"
        )
    emoji.config.load_language(language)
    return {one: words_of(names[language]) for one, names in emoji.EMOJI_DATA.items() if language in names}
