"""The reliability diagram: of examples of about one probability, the share that is real, as inline SVG."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping

from jaxgen.reporting.markup import escaped, number

_SIDE, _LEFT, _TOP, _BOTTOM = 160, 48, 10, 34  # units of the viewBox


def reliability_figure(calibration: Mapping[str, object], words: str) -> str:
    """A figure of a run's kept calibration, a dot a bin and the diagonal that is right; nothing where there is none."""
    bins = calibration.get("bins")
    if not isinstance(bins, list):
        return ""
    points = [(number(one.get("probability")), number(one.get("real"))) for one in bins if isinstance(one, Mapping)]
    dots = "".join(
        f'<circle cx="{_x(p):.1f}" cy="{_y(real):.1f}" r="3.5" style="fill:var(--series-1)">'
        f"<title>{escaped(f'said {p:.2f}: {real:.2f} are real')}</title></circle>"
        for p, real in points
        if p is not None and real is not None
    )
    caption = f"Probability of being real, and the share that is ({calibration.get('split', 'held out')})"
    svg = (
        f'<svg class="chart" viewBox="0 0 {_LEFT + _SIDE + 16} {_TOP + _SIDE + _BOTTOM}" role="img" '
        f'aria-label="{escaped(words)}"><title>{escaped(words)}</title>{_axes()}'
        f'<path class="often" style="stroke:var(--series-2)" d="M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}"/>'
        f"{dots}</svg>"
    )
    return f"<figure><figcaption>{escaped(caption)}</figcaption>{svg}</figure>"


def _x(value: float) -> float:
    return _LEFT + _SIDE * value


def _y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)


def _axes() -> str:
    parts = []
    for value in (0, 0.5, 1):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_x(1)}" y1="{_y(value)}" y2="{_y(value)}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{_y(value) + 3.5}" text-anchor="end">{value:g}</text>')
        parts.append(f'<text x="{_x(value)}" y="{_y(0) + 16}" text-anchor="middle">{value:g}</text>')
    return "".join([*parts, f'<text x="{_LEFT}" y="{_y(0) + 31}">probability</text>'])
