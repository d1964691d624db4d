"""Curves as inline SVG that takes its colours from the page (light, dark, print) and needs no plotting library."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxgen.reporting.markup import escaped, number

WIDTH, HEIGHT = 360, 190  # units of the viewBox; about pixels on a wide page
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 8, 34
LEGEND_LINE = 18
CHARACTER = 6.3  # mean width of a letter at the legend's size: SVG cannot measure text
KEY = 30  # what stands before and behind a name
LONGEST_NAME = int((WIDTH - LEFT - RIGHT - KEY) / CHARACTER)  # letters that a line of the legend has room for
COLOURS = 6  # the page defines --series-1 to --series-6
_LETTERS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
BUCKETS = 180  # a curve shows at most two points a bucket: its least and its greatest


@dataclass(frozen=True)
class Curve:
    """One named curve: points (step, value) in order; `dots` for few and far ones, such as evaluations."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def curves_svg(curves: Sequence[Curve], title: str, axis: str = "step", logarithmic: bool = False) -> str:
    """One chart as an `<svg>` element, whose horizontal axis is called `axis`.

    Values that are not finite leave a gap and are counted in words below. Where both axes are `logarithmic` all numbers
    are above 0.
    """
    finite = [(x, y) for curve in curves for x, y in curve.points if number(y) is not None]
    lost = sum(len(curve.points) for curve in curves) - len(finite)
    legend, top = _legend(curves)
    height = HEIGHT + top
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escaped(title)}">',
        f"<title>{escaped(title)}</title>",
        *legend,
    ]
    if finite:
        frame = Frame.around(finite, top + TOP, height - BOTTOM, logarithmic)
        parts += _axes(frame, axis)
        for index, curve in enumerate(curves):
            parts += _drawn(curve, frame, index % COLOURS + 1, axis)
    else:
        parts.append(f'<text class="empty" x="{WIDTH / 2}" y="{height / 2}" text-anchor="middle">no values yet</text>')
    if lost:
        words = f"{lost} value{'s' if lost > 1 else ''} not finite"
        parts.append(f'<text class="lost" x="{WIDTH - RIGHT}" y="{height - 4}" text-anchor="end">{words}</text>')
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside [low, high], about as many as wanted; low < high."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    bounds = ((2**0.5, 1), (10**0.5, 2), (50**0.5, 5), (math.inf, 10))  # the nearest of the four, as a ratio
    step = power * next(factor for bound, factor in bounds if rough / power < bound)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside [low, high], with their halves and fifths where these are few; ordinary ticks in less."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**power for power in range(first, last + 1, max(1, (last - first) // 5))]
    for factors in ((1,), (1, 2, 5)):
        found = [factor * power for power in powers for factor in factors if low <= factor * power <= high]
        if len(found) >= 3:
            return found
    return ticks(low, high)


def log_labels(values: Sequence[float]) -> list[str]:
    """Labels of numbers of any size: 0.02, 50, 2k, 10M, 5G, 1T."""
    return [_with_letter(value) for value in values]


def _with_letter(value: float) -> str:
    divisor, letter = next(((size, letter) for size, letter in _LETTERS if value >= size), (1.0, ""))
    return f"{value / divisor:g}{letter}"


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels with just the decimals that the ticks' distance needs; k and M for large ones, e+12 for huge ones."""
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0
    largest = max(abs(value) for value in values)
    if largest >= 1e9 or largest < 1e-4:
        digits = max(0, math.ceil(math.log10(largest / step))) if largest else 0
        return [f"{value:.{digits}e}" if value else "0" for value in values]
    divisor, name = (1e6, "M") if largest >= 1e6 else (1e3, "k") if largest >= 1e4 else (1.0, "")
    decimals = max(0, -math.floor(math.log10(step / divisor) + 1e-9))
    return [f"{value / divisor:.{decimals}f}{name}" if value else "0" for value in values]


@dataclass(frozen=True)
class Frame:
    """The plot's rectangle and the range of values it shows; steps count from 0, so that charts can be compared.

    Of `logarithmic` axes the range is one of decimal logarithms.
    """

    low_x: float
    high_x: float
    low_y: float
    high_y: float
    top: float
    bottom: float
    logarithmic: bool = False

    @staticmethod
    def around(
        points: Sequence[tuple[float, float]], top: float, bottom: float, logarithmic: bool = False
    ) -> "Frame":
        if logarithmic:
            points = [(math.log10(x), math.log10(y)) for x, y in points]
        begin = min(x for x, _ in points)
        begin, air = (begin, 0.05) if logarithmic else (min(0.0, begin), 0.0)
        low_x, high_x = _widened(begin, max(x for x, _ in points), air)
        low_y, high_y = _widened(min(y for _, y in points), max(y for _, y in points), 0.05)
        return Frame(low_x, high_x, low_y, high_y, top, bottom, logarithmic)

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (self._shown(value) - self.low_x) / (self.high_x - self.low_x)

    def y(self, value: float) -> float:
        share = (self._shown(value) - self.low_y) / (self.high_y - self.low_y)
        return self.bottom - (self.bottom - self.top) * share

    def _shown(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self, low: float, high: float) -> list[tuple[float, str]]:
        """The ticks of an axis that shows this range, and their labels."""
        if self.logarithmic:
            values = log_ticks(10.0**low, 10.0**high)
            return list(zip(values, log_labels(values), strict=True))
        values = ticks(low, high)
        return list(zip(values, tick_labels(values), strict=True))


def _widened(low: float, high: float, margin: float) -> tuple[float, float]:
    """The range with some air; a range of (nearly) nothing becomes one that ticks can divide."""
    least = max(1e-6 * max(abs(low), abs(high)), 1e-12)
    if high - low < least:
        air = 0.5 * (abs(low) if abs(low) > least else 1.0) if low == high else least
        return low - air, high + air
    return low - margin * (high - low), high + margin * (high - low)


def _axes(frame: Frame, axis: str) -> Iterator[str]:
    for value, label in frame.ticks(frame.low_y, frame.high_y):
        y = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 3.5:.1f}" text-anchor="end">{label}</text>'
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{frame.bottom}" y2="{frame.bottom}"/>'
    for value, label in frame.ticks(frame.low_x, frame.high_x):
        yield f'<text x="{frame.x(value):.1f}" y="{frame.bottom + 16}" text-anchor="middle">{label}</text>'
    yield f'<text x="{LEFT}" y="{frame.bottom + 31}">{escaped(axis)}</text>'


def _drawn(curve: Curve, frame: Frame, colour: int, axis: str) -> Iterator[str]:
    """The curve as a path that is broken where values are not finite; a lone point is a dot of the round pen."""
    path, pen_up, shown = [], True, thinned(curve.points)
    for point in shown:
        if point is not None:
            path.append(f"{'M' if pen_up else 'L'}{frame.x(point[0]):.1f} {frame.y(point[1]):.1f}{'h0' * pen_up}")
        pen_up = point is None
    kind = "seldom" if curve.dots else "often"
    yield f'<path class="{kind}" style="stroke:var(--series-{colour})" d="{"".join(path)}"/>'
    if curve.dots:
        for x, y in filter(None, shown):
            words = escaped(f"{curve.name}, {axis} {x:,g}: {y:.5g}")
            yield (
                f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3" style="fill:var(--series-{colour})">'
                f"<title>{words}</title></circle>"
            )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float] | None]:
    """At most two points a bucket, its least and greatest, so that no spike is lost; None where none is finite."""
    size, kept = max(1, math.ceil(len(points) / BUCKETS)), []
    for start in range(0, len(points), size):
        finite = [(x, y) for x, y in points[start : start + size] if number(y) is not None]
        if finite:
            kept += sorted({min(finite, key=lambda point: point[1]), max(finite, key=lambda point: point[1])})
        else:
            kept.append(None)
    return kept


def _legend(curves: Sequence[Curve]) -> tuple[list[str], float]:
    """The legend's elements, in as many lines as the names need, and its height."""
    parts, x, y = [], float(LEFT), 14.0
    for index, curve in enumerate(curves):
        name = curve.name if len(curve.name) <= LONGEST_NAME else curve.name[: LONGEST_NAME - 1] + "…"
        width = KEY + CHARACTER * len(name)
        if x > LEFT and x + width > WIDTH - RIGHT:
            x, y = float(LEFT), y + LEGEND_LINE
        colour = f"var(--series-{index % COLOURS + 1})"
        kind = "seldom" if curve.dots else "often"
        parts.append(f'<path class="{kind}" style="stroke:{colour}" d="M{x:.0f} {y - 4:.0f}h14"/>')
        if curve.dots:
            parts.append(f'<circle cx="{x + 7:.0f}" cy="{y - 4:.0f}" r="3" style="fill:{colour}"/>')
        parts.append(f'<text class="name" x="{x + 19:.0f}" y="{y:.0f}">{escaped(name)}</text>')
        x += width
    return parts, y if curves else 0.0
