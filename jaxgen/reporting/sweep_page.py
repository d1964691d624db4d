"""A page about one run whose figures were measured for several values of a field: a table, and a curve a figure."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from jaxgen.atomic_write import write_whole
from jaxgen.reporting.columns import Column, Group, columns
from jaxgen.reporting.curves import Curve
from jaxgen.reporting.markup import escaped, number
from jaxgen.reporting.page import chart, document, footer
from jaxgen.reporting.table import figures_table


def write_sweep(out: Path, name: str, field: str, rows: Mapping[str, Mapping[str, object]], command: str) -> None:
    """Write the page of the run `name` at `out` in one move; `rows`: the figures for each value of `field`.

    A figure that is the same for all values is in the table alone, and without numbers for values there is no curve.
    """
    shown = columns(rows.values())
    charts = "".join(_charts(name, field, rows, [column for column in shown if column.group is not Group.COST]))
    heads = [(escaped(value), row) for value, row in rows.items()]
    tables = [
        figures_table(group.value, field, heads, (), list(of))
        for group, of in groupby(shown, key=lambda column: column.group)
    ]
    body = [
        f'<header><p class="kicker">{escaped(name)}</p><h1>{escaped(field)}</h1></header>',
        *(f'<div class="scroll">{table}</div>' for table in tables),
        f'<section><div class="charts">{charts}</div></section>' if charts else "",
        footer(command),
    ]
    write_whole(out, document(f"{field} of {name}", "\n".join(body)))


def _charts(
    name: str, field: str, rows: Mapping[str, Mapping[str, object]], shown: Sequence[Column]
) -> list[str]:
    try:
        places = [float(value) for value in rows]
    except ValueError:  # names of samplers, say
        return []
    charts = []
    for column in shown:
        values = [number(row.get(column.name)) for row in rows.values()]
        points = sorted((x, y) for x, y in zip(places, values, strict=True) if y is not None)
        if len({y for _, y in points}) > 1:
            words = f"{column.head} {column.detail}".strip()
            charts.append(chart(words, [Curve(name, points, dots=True)], field.rpartition(".")[2]))
    return charts
