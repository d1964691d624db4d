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
        return _TIMES[language](hour, minute, lambda count: _num2words()(count, lang=language))
    if kind == "decimal":
        return _num2words()(Decimal(value), lang=language)
    if kind == "cardinal":
        return _num2words()(int(value), lang=language)
    if kind == "year":
        return f"{_YEAR[language]} {_num2words()(int(value), lang=language, to='year')}"
    said = _num2words()(int(value), lang=language, to="ordinal")
    return re.sub(r"(vingt|cent)sième", r"\1ième", said)  # num2words keeps a plural's s


def _english(hour: int, minute: int, say: Callable[[int], str]) -> str:
    after = say(hour % 12 + 1)
    match minute:
        case 0:
            return f"{say(hour)} o'clock"
        case 15:
            return f"quarter past {say(hour)}"
        case 30:
            return f"half past {say(hour)}"
        case 45:
            return f"quarter to {after}"
    return f"{say(minute)} past {say(hour)}" if minute < 30 else f"{say(60 - minute)} to {after}"


def _german(hour: int, minute: int, say: Callable[[int], str]) -> str:
    after = say(hour % 12 + 1)
    match minute:
        case 0:
            return f"{'ein' if hour == 1 else say(hour)} Uhr"
        case 15:
            return f"Viertel nach {say(hour)}"
        case 30:
            return f"halb {after}"
        case 45:
            return f"Viertel vor {after}"
    return f"{say(minute)} nach {say(hour)}" if minute < 30 else f"{say(60 - minute)} vor {after}"


def _french(hour: int, minute: int, say: Callable[[int], str]) -> str:
    def hours(count: int) -> str:
        return "une heure" if count == 1 else f"{say(count)} heures"

    def minutes(count: int) -> str:
        return re.sub(r"\bun$", "une", say(count))

    now, after = hours(hour), hours(hour % 12 + 1)
    match minute:
        case 0:
            return now
        case 15:
            return f"{now} et quart"
        case 30:
            return f"{now} et demie"
        case 45:
            return f"{after} moins le quart"
    return f"{now} {minutes(minute)}" if minute < 30 else f"{after} moins {minutes(60 - minute)}"


_TIMES = {"en": _english, "de": _german, "fr": _french}  # on a clock of twelve hours


def _num2words() -> Any:
    try:
        from num2words import num2words
    except ImportError:
        raise UserError("spoken numbers need the package num2words; run `pip install 'jaxgen[speech]'`") from None
    return num2words
