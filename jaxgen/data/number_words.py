"""Numbers, ordinals, decimals, years and times as English, German and French say them."""
# SPDX-License-Identifier: Apache-2.0

import functools
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from jaxgen.errors import UserError

LANGUAGES = ("en", "de", "fr")
_YEAR = {"en": "in", "de": "im jahr", "fr": "en"}  # before a year, which is else no other number in French


class Number(NamedTuple):
    """What is said: `kind` is "cardinal", "ordinal", "decimal", "year" or "time", `value` its digits ("3.25", "7:45").

    Values of one spelling are one number, of whatever kind: a cardinal, its ordinal and its year.
    """

    kind: str
    value: str


def words(number: Number, language: str) -> str:
    """Lower-case words with one space between them, neither hyphens nor commas."""
    return " ".join(re.sub(r"[-,]", " ", spelled(number, language)).lower().split())


@functools.lru_cache(1 << 15)
def spelled(number: Number, language: str) -> str:
    """The same as it is written, for a voice to read. UserError where num2words is not installed."""
    kind, value = number
    if kind == "time":
        hour, minute = map(int, value.split(":"))
        return _time(hour, minute, language, lambda count: _num2words()(count, lang=language))
    if kind == "decimal":
        return _num2words()(Decimal(value), lang=language)
    if kind == "cardinal":
        return _num2words()(int(value), lang=language)
    if kind == "year":
        return f"{_YEAR[language]} {_num2words()(int(value), lang=language, to='year')}"
    said = _num2words()(int(value), lang=language, to="ordinal")
    return re.sub(r"(vingt|cent)sième", r"\1ième", said)  # num2words keeps a plural's s


def _hour(count: int, language: str, say: Callable[[int], str]) -> str:
    if language == "fr":
        return "une heure" if count == 1 else f"{say(count)} heures"
    return say(count)


def _time(hour: int, minute: int, language: str, say: Callable[[int], str]) -> str:
    """A time on a clock of twelve hours; past the half hour what is left of it is said."""
    known, past, before = _TIMES[language]
    now, after = _hour(hour, language, say), _hour(hour % 12 + 1, language, say)
    minutes = say(minute if minute < 30 else 60 - minute)
    if language == "fr":
        minutes = re.sub(r"\bun$", "une", minutes)
    if (language, hour, minute) == ("de", 1, 0):
        now = "ein"
    said = known.get(minute, past if minute < 30 else before)
    return said.format(now=now, after=after, minutes=minutes)


# of each language: the times with words of their own, by their minutes; those before the half hour, and after it
_TIMES = {
    "en": (
        {0: "{now} o'clock", 15: "quarter past {now}", 30: "half past {now}", 45: "quarter to {after}"},
        "{minutes} past {now}",
        "{minutes} to {after}",
    ),
    "de": (
        {0: "{now} Uhr", 15: "Viertel nach {now}", 30: "halb {after}", 45: "Viertel vor {after}"},
        "{minutes} nach {now}",
        "{minutes} vor {after}",
    ),
    "fr": (
        {0: "{now}", 15: "{now} et quart", 30: "{now} et demie", 45: "{after} moins le quart"},
        "{now} {minutes}",
        "{after} moins {minutes}",
    ),
}


def _num2words() -> Any:
    try:
        from num2words import num2words
    except ImportError:
        raise UserError("spoken numbers need the package num2words; run `pip install 'jaxgen[speech]'`") from None
    return num2words
