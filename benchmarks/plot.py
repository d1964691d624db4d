"""Charts of results: throughput over batch and over size, and each row's roofline, as one HTML page.

    jaxgen bench train_step transformer/digits --batch 16 64 256 --out batches.jsonl
    jaxgen bench train_step transformer/digits --set task.network.width=128 --out wide.jsonl
    jaxgen bench plot batches.jsonl wide.jsonl --out charts.html

Throughput is drawn where rows of one benchmark differ in batch or in parameters, in one file or in several. The roof of
a roofline (Williams et al. 2009) is what a large product and a copy reached on the machine when the row was measured. A
point is a contestant: its model's FLOP/s over the FLOPs a byte that XLA's cost analysis tells of its compiled program,
which counts what caches hold as memory and each loop's body once. Of other libraries no bytes are known: they are drawn
at the intensity of the row's first contestant that has one.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import comparison
from results import SCHEMA, check_new, ended
from roofline import attainable

from jaxgen.atomic_write import write_whole
from jaxgen.errors import UserError
from jaxgen.reporting.curves import Curve
from jaxgen.reporting.markup import escaped
from jaxgen.reporting.page import chart, document, footer

Told = Mapping[str, Any]  # a line of a file of results, or one of its contestants
RATES = {"tokens_per_second": "tokens/s", "examples_per_second": "examples/s"}  # the first that is known is drawn
HOW_TO_READ = (
    "Throughput is the median of the blocks. Under a roof, whose slope is the bandwidth of a large copy and whose top "
    "is a large product, a point is a contestant: the FLOP/s of its model's products over the FLOPs a byte that XLA's "
    "cost analysis tells of its program. That counts what caches hold as memory, so that a point may stand above the "
    "slope, and each loop's body once. Where no bytes are known, as of other libraries, a contestant stands at the "
    "intensity of the row's first that has one."
)


def page(rows: Sequence[Told], command: str) -> str:
    """The page; UserError where nothing of the rows can be drawn."""
    machines: dict[str, list[Told]] = {}
    for row in rows:
        machines.setdefault(", ".join(row[name] for name in comparison.MACHINE), []).append(row)
    sections = []
    for machine, own in machines.items():
        if charts := [*_throughput(own), *_rooflines(own)]:
            sections.append(
                f'<section><h2>{escaped(machine)}</h2><div class="charts">{"".join(charts)}</div></section>'
            )
    if not sections:
        raise UserError("nothing can be drawn: no rows differ in batch or parameters, and none counts its operations")
    title = "Benchmarks"
    body = [f"<header><h1>{title}</h1><p>{escaped(HOW_TO_READ)}</p></header>", *sections, footer(command)]
    return document(title, "\n".join(body))


def _throughput(rows: Iterable[Told]) -> Iterator[str]:
    """Over batch and over parameters, of each benchmark whose rows differ in it."""
    named: dict[str, list[Told]] = {}
    for row in rows:
        if "series" in row:
            named.setdefault(row["series"], []).append(row)
    for name, own in named.items():
        for varied, other in (("batch", "parameters"), ("parameters", "batch")):
            for value in dict.fromkeys(row[other] for row in own):
                curves, unit = throughput_curves([row for row in own if row[other] == value], varied)
                if curves:
                    yield chart(f"{name}, {other} {value:,}: {unit}", curves, varied, logarithmic=True)


def throughput_curves(rows: Sequence[Told], varied: str) -> tuple[list[Curve], str]:
    """A curve for each contestant with two points or more, and the unit of its values."""
    told = [one for row in rows for one in row["contestants"]]
    rate = next((rate for rate in RATES if any(rate in one for one in told)), None)
    points: dict[str, dict[int, float]] = {}
    for row in rows:
        for one in row["contestants"]:
            if rate in one:
                points.setdefault(one["name"], {})[row[varied]] = one[rate]
    curves = [Curve(name, sorted(own.items()), dots=True) for name, own in points.items() if len(own) > 1]
    return curves, RATES.get(rate, "")


def _rooflines(rows: Iterable[Told]) -> Iterator[str]:
    for row in rows:
        if curves := roofline_curves(row):
            words = f"{row['row']}, {row['precision']}: FLOP/s over arithmetic intensity"
            yield chart(words, curves, "FLOPs a byte", logarithmic=True)


def roofline_curves(row: Told) -> list[Curve]:
    """The roofs, and a point for each contestant; none where operations or bytes are unknown."""
    first = next((one["intensity"] for one in row["contestants"] if one.get("intensity")), None)
    shown = [one for one in row["contestants"] if "flops_per_second" in one]
    if first is None or not shown:
        return []
    points = [
        Curve(one["name"], [(one.get("intensity") or first, one["flops_per_second"])], dots=True) for one in shown
    ]
    heights = {(one["flops_peak"], one["bandwidth_peak"]) for one in shown if "bandwidth_peak" in one}
    places = [x for curve in points for x, _ in curve.points]
    roofs = [_roof(peak, bandwidth, places, len(heights) == 1) for peak, bandwidth in sorted(heights)]
    return [*roofs, *points]


def _roof(peak: float, bandwidth: float, places: Sequence[float], lone: bool) -> Curve:
    """From the slope to the top, around where the contestants are."""
    ridge = peak / bandwidth
    ends = min(*places, ridge) / 4, max(*places, ridge) * 4
    name = "roof" if lone else f"roof of {peak / 1e12:.3g} TFLOP/s"
    return Curve(name, [(x, attainable(x, peak, bandwidth)) for x in (ends[0], ridge, ends[1])])


def main(arguments: list[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("results", nargs="+", type=Path, metavar="RESULTS.jsonl", help="files that --out wrote")
    asked.add_argument("--out", type=Path, required=True, metavar="PAGE.html", help="where the page goes")
    options = asked.parse_args(arguments)
    check_new(options.out)
    rows = [row for file in options.results for row in comparison.read(file, SCHEMA)]
    command = f"jaxgen bench plot {' '.join(map(str, options.results))} --out {options.out}"
    write_whole(options.out, page(rows, command).encode())
    print(options.out)
    return 0


if __name__ == "__main__":
    ended(main)
