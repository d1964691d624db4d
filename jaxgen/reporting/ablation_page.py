"""The page of an ablation: its tables, the effect of each change with its interval, and learning curves."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxgen.atomic_write import write_whole
from jaxgen.reporting.curves import Curve, tick_labels, ticks
from jaxgen.reporting.markup import escaped, rounded
from jaxgen.reporting.page import chart, document, footer
from jaxgen.reporting.table import text_table

_LETTER, _GAP, _LINES, _RIGHT, _ROW = 6.4, 12, 200, 12, 22  # of the viewBox; a name's letters are narrower on average


@dataclass(frozen=True)
class Bar:
    """A change's mean difference and its interval; nan for one that is not known."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Plot:
    """The differences of one metric."""

    metric: str
    bars: Sequence[Bar]


def write_ablation(
    out: Path,
    title: str,
    told: Sequence[str],
    tables: Sequence[Sequence[Sequence[str]]],
    plots: Sequence[Plot],
    curves: Mapping[str, Sequence[Curve]],
    command: str,
    kicker: str = "Ablation",
) -> None:
    """Write the page at `out` in one move; `tables` are text, their heads first, `told` plain paragraphs above them."""
    charts = "".join(chart(name, list(of)) for name, of in curves.items())
    body = [
        f'<header><p class="kicker">{kicker}</p><h1>{escaped(title)}</h1>',
        *(f"<p>{escaped(sentence)}</p>" for sentence in told),
        "</header>",
        *(f'<div class="scroll">{text_table(table)}</div>' for table in tables),
        *(f"<section><h2>{escaped(plot.metric)}</h2>{effects_svg(plot)}</section>" for plot in plots if plot.bars),
        f'<section><h2>While training</h2><div class="charts">{charts}</div></section>' if charts else "",
        footer(command),
    ]
    write_whole(out, document(title, "\n".join(body)))


def effects_svg(plot: Plot) -> str:
    """A row a change: a dot at its mean difference, a line over its interval, and a line through no difference."""
    ends = [0.0, *(end for bar in plot.bars for end in (bar.mean, bar.low, bar.high) if math.isfinite(end))]
    low, high = min(ends), max(ends)
    air = 0.05 * (high - low) or 1.0
    low, high = low - air, high + air
    left = _GAP + _LETTER * max(len(bar.name) for bar in plot.bars)

    def x(value: float) -> float:
        return left + _LINES * (value - low) / (high - low)

    bottom = 10 + _ROW * len(plot.bars)
    title = f"Differences of {plot.metric} with their 95 % intervals"
    parts = [
        f'<svg class="chart" viewBox="0 0 {left + _LINES + _RIGHT:.0f} {bottom + 30}" role="img" '
        f'aria-label="{escaped(title)}">',
        f"<title>{escaped(title)}</title>",
        f'<line class="axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{bottom}"/>',
    ]
    for number, bar in enumerate(plot.bars):
        parts += _row(bar, left - _GAP, x, 10 + _ROW * (number + 0.5))
    places = ticks(low, high)
    for value, label in zip(places, tick_labels(places), strict=True):
        parts.append(f'<text x="{x(value):.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return "".join([*parts, "</svg>"])


def _row(bar: Bar, left: float, x: Callable[[float], float], y: float) -> Iterator[str]:
    known = math.isfinite(bar.low)
    words = f"{bar.name}: {rounded(bar.mean)}" + (f" ({rounded(bar.low)} to {rounded(bar.high)})" if known else "")
    yield f'<text x="{left:.1f}" y="{y + 4:.1f}" text-anchor="end">{escaped(bar.name)}</text>'
    if known:
        ends = f'x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
        yield f'<line style="stroke:var(--series-1);stroke-width:2" {ends}/>'
    yield (
        f'<circle cx="{x(bar.mean):.1f}" cy="{y:.1f}" r="4" style="fill:var(--series-1)">'
        f"<title>{escaped(words)}</title></circle>"
    )
