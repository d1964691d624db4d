"""What the page shows, as numbers and words: all that a picture depends on, checked field by field."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxgen.errors import UserError, nearest

MOST = 16  # pictures at a time
REACH = 3.0  # of a slider either way, in standard deviations of the noise
_LONGEST = 1000  # letters of a prompt


@dataclass(frozen=True)
class View:
    """UserError, with a sentence that names the field, where a value is none that any run could show."""

    given: str | None = None  # a class or a prompt; none: of each class in turn
    seed: int = 0
    count: int = 1
    sliders: tuple[float, ...] = ()  # how far along each of the first directions; the others are at 0
    attribute: float = 0.0  # how much of the run's attribute is added to the noise
    knobs: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of the sampler; others are at its own values

    def __post_init__(self):
        _check_given(self.given)
        for name, low, high in (("seed", 0, 2**32 - 1), ("count", 1, MOST)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise UserError(f"{name} is {_told(value)}; give a whole number from {low} to {high}")
        if not isinstance(self.sliders, tuple) or not all(_within(value, REACH) for value in self.sliders):
            raise UserError(f"sliders is {_told(self.sliders)}; give numbers from {-REACH:g} to {REACH:g}")
        if not _within(self.attribute, REACH):
            raise UserError(f"attribute is {_told(self.attribute)}; give a number from {-REACH:g} to {REACH:g}")
        if not isinstance(self.knobs, Mapping):
            raise UserError(f"knobs is {_told(self.knobs)}; give a number for each name")
        for name, value in self.knobs.items():
            if not _within(value, 1e30):
                raise UserError(f"{name} is {_told(value)}; give a number")


def read_view(document: object) -> View:
    """The view that a JSON value describes; fields that it leaves out have their defaults."""
    if not isinstance(document, dict):
        raise UserError(f"a view is an object of fields, not {_told(document)}")
    known = [field.name for field in dataclasses.fields(View)]
    for name in document:
        if name not in known:
            raise UserError(f"a view has no field {name[:80]!r}{nearest(name[:80], known)}")
    sliders = document.get("sliders", ())
    return View(**document | {"sliders": tuple(sliders) if isinstance(sliders, list) else sliders})


def _check_given(given: object) -> None:
    if given is None:
        return
    if not isinstance(given, str) or len(given) > _LONGEST:
        raise UserError(f"given is {_told(given)}; give a class or a prompt of at most {_LONGEST:,} letters")
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in given):
        raise UserError("given has letters that no command line can hold; give a class or a prompt in one line")


def _within(value: Any, most: float) -> bool:
    return type(value) in (int, float) and -most <= value <= most


def _told(value: object) -> str:
    """A value as a sentence has it, however long it is."""
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # an integer of thousands of digits
        return "so large a number"
    return text if len(text) < 60 else f"{text[:57]}..."
