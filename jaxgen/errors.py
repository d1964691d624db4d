"""The one error that speaks to the user, and the help with mistyped names."""
# SPDX-License-Identifier: Apache-2.0

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A user's mistake: one sentence that names the field or file and the mend. The command exits 2 with it."""


def nearest(name: str, names: Iterable[str]) -> str:
    """A clause such as ``; did you mean 'width'?`` with the nearest known names, or all of them when none is near."""
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(repr(word) for word in close) + "?"
    return "; known are " + ", ".join(repr(word) for word in known) if known else ""
