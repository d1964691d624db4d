"""Text and numbers as they stand on the page: escaped, rounded, with their thousands set apart."""
# SPDX-License-Identifier: Apache-2.0

import html
import math
import re

# What neither XML nor UTF-8 can carry: a run folder's JSON may hold such characters all the same.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
DASH = "–"


def escaped(value: object) -> str:
    """Any value as text that is safe inside HTML and XML, in attributes too."""
    return html.escape(UNPRINTABLE.sub("\ufffd", str(value)), quote=True)


def number(value: object) -> float | None:
    """The value as a finite float, or None where it is no number or not finite. True and False are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e30 < value < 1e30:
        return None  # 1e30 and beyond are a diverged run: no axis and no table can show them
    return float(value)


def rounded(value: float) -> str:
    """About three significant digits: 0.0123, 1.23, 12.3, 123, 12,345, 1.2e-05."""
    size = abs(value)
    if size >= 1e12 or 0 < size < 1e-4:
        return f"{value:.1e}"
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}"


def counted(value: float) -> str:
    """A whole number with its thousands set apart: 1,234,567."""
    return f"{value:,.0f}"


def hundredths(value: float) -> str:
    """Two decimals, for figures that are compared in absolute terms: 0.50, 1.86."""
    return f"{value:.2f}"


def short(value: float) -> str:
    """Without needless decimals: 10, 9.75."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """A fraction as a percentage that no line break parts from its sign: 96.8 %."""
    return f"{100 * value:.1f}\u00a0%"


def duration(seconds: float) -> str:
    """Seconds in a person's words: 0.8 s, 42 s, 3 min 5 s, 2 h 14 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
