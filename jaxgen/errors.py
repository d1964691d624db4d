"""The one error that speaks to the user, the help with mistyped names, and the check of a value's kind."""
# SPDX-License-Identifier: Apache-2.0

import difflib
from collections.abc import Iterable
from types import UnionType

_LISTED = 40  # names; the rest are counted


class UserError(Exception):
    """A user's mistake: one sentence that names the field or file and the mend. The command exits 2 with it."""


def nearest(name: str, names: Iterable[str]) -> str:
    """A clause such as ``; did you mean 'width'?`` with the nearest known names, or all where none is near."""
    known = sorted(set(names))
    close = _close(name, known)
    if close:
        return f"; did you mean {close}?"
    listed = ", ".join(repr(word) for word in known[:_LISTED])
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"; known are {listed}{more}" if known else ""


def similar(name: str, names: Iterable[str]) -> str:
    """A clause such as `` (did you mean 'width'?)`` with the nearest known names; empty where none is near."""
    close = _close(name, names)
    return f" (did you mean {close}?)" if close else ""


def check_kind(name: str, value: object, kind: type | UnionType, mend: str) -> None:
    """UserError where the field `name` of a user's file has a value of another kind; `mend` says what to give."""
    if not isinstance(value, kind):
        raise UserError(f"{name} is {value!r}; {mend}")


def _close(name: str, names: Iterable[str]) -> str:
    return " or ".join(map(repr, difflib.get_close_matches(name, sorted(set(names)), n=3, cutoff=0.6)))
