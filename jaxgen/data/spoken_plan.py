"""Which numbers are spoken in which split, and by which voices: drawn from fixed seeds, and the same everywhere."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple

import numpy as np

from jaxgen.data.espeak import Utterance
from jaxgen.data.number_words import Number, spelled, words
from jaxgen.data.splits import tenth_of

SPLITS = ("train", "validation", "test")
_TENTHS = {0: "validation", 1: "test"}  # of the numbers, by a hash of their digits; the others are trained on
_WORDS = 21  # numbers below it are single words, and all of them are trained on
_DIGITS = 6
_KINDS = {"cardinal": 0.5, "ordinal": 0.15, "decimal": 0.15, "year": 0.1, "time": 0.1}

_ACCENTS = {"en": ("en", "en-us", "en-gb-scotland", "en-gb-x-rp"), "de": ("de",), "fr": ("fr", "fr-be", "fr-ch")}
_VARIANTS = {  # of the speaker: those of espeak-ng that sound like one
    "validation": ("f5", "m6", "belinda", "john"),
    "test": ("f3", "m4", "linda", "david", "Alicia", "Marco"),
    "train": (
        *("f1", "f2", "f4", "m1", "m2", "m3", "m5", "m7", "m8", "Alex", "Andrea", "Andy", "Annie", "Denis", "Diogo"),
        *("Gene", "Henrique", "Jacky", "Lee", "Mario", "Michael", "Mike", "Reed", "adam", "anika", "antonio", "aunty"),
        *("benjamin", "boris", "ed", "edward", "grandma", "grandpa", "gustave", "iven", "klatt3", "klatt4", "marcelo"),
        *("max", "michel", "miguel", "norbert", "pablo", "paul", "pedro", "rob", "robert", "steph", "travis", "zac"),
    ),
}
_SPEEDS = (130, 240)  # words a minute
_PITCHES = (25, 75)  # of espeak-ng's 0 .. 100
_SECONDS = 12.0  # a character at one word a minute, about: 0.07 s at 175


class Planned(NamedTuple):
    """A number, what is told of it, and how it is spoken."""

    number: Number
    told: str
    utterance: Utterance


def split_of(number: Number) -> str:
    """The one split that a number's digits may be spoken in."""
    if number.kind != "time" and float(number.value) < _WORDS and "." not in number.value:
        return "train"
    return _TENTHS.get(tenth_of(f"spoken {number.value}"), "train")


def planned(split: str, count: int, language: str, text: str, seconds: float) -> list[Planned]:
    """`count` utterances of a split in a language, told in the language `text`, of about `seconds` at most."""
    draw = np.random.default_rng((20_261, SPLITS.index(split)))
    return [_planned(draw, split, language, text, seconds) for _ in range(count)]


def _planned(draw: np.random.Generator, split: str, language: str, text: str, seconds: float) -> Planned:
    while split_of(number := _number(draw)) != split:
        pass
    read, accents = spelled(number, language), _ACCENTS[language]
    voice = f"{accents[draw.integers(len(accents))]}+{_VARIANTS[split][draw.integers(len(_VARIANTS[split]))]}"
    slowest = max(_SPEEDS[0], round(_SECONDS * len(read) / seconds))  # a long number is spoken fast enough to fit
    speed = int(draw.integers(slowest, max(_SPEEDS[1], slowest + 40)))
    return Planned(number, words(number, text), Utterance(read, voice, speed, int(draw.integers(*_PITCHES))))


def _number(draw: np.random.Generator) -> Number:
    """A number of any split: its count of digits first, so that short ones occur as often as long ones."""
    kind = str(draw.choice(list(_KINDS), p=list(_KINDS.values())))
    match kind:
        case "time":
            return Number(kind, f"{draw.integers(1, 13)}:{draw.integers(60):02}")
        case "year":
            return Number(kind, str(draw.integers(1100, 2100)))
        case "decimal":
            after = draw.integers(1, 10) if draw.integers(2) else draw.integers(1, 10) + 10 * draw.integers(10)
            places = f"{after:02}" if after > 9 or draw.integers(2) else str(after)
            return Number(kind, f"{_digits(draw, 4)}.{places}")
    value = _digits(draw, _DIGITS)
    return Number(kind, str(max(1, value) if kind == "ordinal" else value))


def _digits(draw: np.random.Generator, most: int) -> int:
    """A number of 1 .. `most` digits."""
    count = int(draw.integers(1, most + 1))
    return int(draw.integers(10 ** (count - 1) if count > 1 else 0, 10**count))
