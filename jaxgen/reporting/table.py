"""The comparison tables: a row a run, the reference rows under them, the best value of each column marked."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from itertools import groupby

from jaxgen.reporting.columns import HIGH, LOW, SPREAD, Better, Column, Group, columns
from jaxgen.reporting.markup import DASH, escaped, number, percent
from jaxgen.reporting.prose import titles
from jaxgen.reporting.reasons import reasons
from jaxgen.reporting.run_view import RunView, by_data

# The columns where a bound is not the value itself.
LIKELIHOODS = (
    *("bits_per_dim", "bits_per_character", "bits_per_byte", "nats_per_token", "perplexity", "perplexity_per_word"),
)


def comparison_tables(runs: Sequence[RunView], references: Mapping[str, Mapping[str, float]]) -> str:
    """A `<table>` a data set and group: how good, at what cost. The columns are the runs' own; references fill them.

    Where there are several data sets each caption names its own. Best values are chosen among the runs alone: the
    references are there to be compared with.
    """
    tables, sets = [], by_data(runs)
    for comparable in sets:
        shown = columns(run.summary for _, run in comparable)
        for group, of_group in groupby(shown, key=lambda column: column.group):
            name = comparable[0][1].data_name if len(sets) > 1 else ""
            caption = f"{group.value}, {name}" if name else group.value
            tables.append(_table(caption, comparable, references, list(of_group)))
    return "".join(f'<div class="scroll">{table}</div>' for table in tables)


def _table(
    caption: str,
    comparable: Sequence[tuple[int, RunView]],
    references: Mapping[str, Mapping[str, float]],
    shown: Sequence[Column],
) -> str:
    places, runs = zip(*comparable, strict=True)
    rows = [
        (f'<a href="#run-{index}">{escaped(title)}</a>{small(run.name, title)}', run.summary)
        for index, run, title in zip(places, runs, titles(runs), strict=True)
        if shown[0].group is not Group.OTHER or _tells(run.summary, shown)
    ]
    below = [
        (escaped(name), row) for name, row in references.items() if _belongs(row, runs[0].data_name, shown)
    ]
    return figures_table(caption, "Model", rows, below, shown)


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """A `<table>` of plain text: the heads first, in each row its own head first."""
    heads, *others = rows
    head = "".join(f'<th scope="col">{escaped(one)}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>{"".join(f"<td>{escaped(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in others
    )
    return f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


Row = tuple[str, Mapping[str, object]]  # the HTML of its head, and its figures


def figures_table(
    caption: str, corner: str, rows: Sequence[Row], references: Sequence[Row], shown: Sequence[Column]
) -> str:
    """A `<table>` of columns, the best of the rows marked in each; `corner` heads the rows' own heads."""
    best = {column.name: column.best([number(row.get(column.name)) for _, row in rows]) for column in shown}

    def lines(rows: Sequence[Row], best: Mapping[str, float | None]) -> str:
        return "".join(
            f'<tr><th scope="row">{name}</th>'
            f"{''.join(cell(column, row, best.get(column.name)) for column in shown)}</tr>"
            for name, row in rows
        )

    return (
        f'<table class="figures"><caption>{escaped(caption)}</caption>'
        f'<thead><tr><th scope="col">{escaped(corner)}</th>{"".join(map(head, shown))}</tr></thead>'
        f'<tbody>{lines(rows, best)}</tbody><tbody class="references">{lines(references, {})}</tbody></table>'
    )


def _belongs(row: Mapping[str, object], data_name: str, shown: Sequence[Column]) -> bool:
    """Whether a reference row stands in a table: of the same data, with a figure of it or a reason against all."""
    if data_name and row.get("data", data_name) != data_name:
        return False
    return _tells(row, shown) or (shown[0].group is Group.QUALITY and bool(reasons(row)))


def _tells(row: Mapping[str, object], shown: Sequence[Column]) -> bool:
    """Whether a row has a figure in any of these columns."""
    return any(number(row.get(column.name)) is not None for column in shown)


def head(column: Column) -> str:
    """A column's head, with its unit, which way is better, and what it means."""
    sign, words = column.better.value
    tooltip = f"{column.tooltip}; {words}" if words else column.tooltip
    way = "" if column.better is Better.NEITHER else f'<span class="way" aria-label="{words}">{sign}</span> '
    texts = [escaped(text) for text in (column.unit, column.detail) if text] or [""]
    lines = "".join(f"<small>{text}</small>" for text in (way + texts[0], *texts[1:]))
    return f'<th scope="col" title="{escaped(tooltip)}">{escaped(column.head)}{lines}</th>'


def cell(column: Column, row: Mapping[str, object], best: float | None) -> str:
    """A row's value in a column; a bound is marked as one, and the best of the column as that."""
    value = number(row.get(column.name))
    if value is None:
        reason = reasons(row).get(column.name)
        title = "" if reason is None else f' title="{escaped(reason)}"'
        return f'<td class="none"{title}>{DASH}</td>'
    text, bound = column.show(value), row.get("bound", "exact")
    if column.base in LIKELIHOODS and not str(bound).startswith("exact"):
        text = f'<span title="a bound: {escaped(bound)}">≤ {text}</span>'
    if best is not None and column.show(best) == column.show(value):
        text = f'<b title="best of the runs">{text}</b>'
    low, high, spread = (number(row.get(column.name + suffix)) for suffix in (LOW, HIGH, SPREAD))
    if low is not None and high is not None:
        return f'<td>{text}<small title="95 % interval">{column.show(low)} to {column.show(high)}</small></td>'
    if spread is None:
        return f"<td>{text}</td>"
    size = percent(spread) if column.show is percent else f"{spread:.2g}"
    return f'<td>{text}<small title="standard deviation between draws">± {size}</small></td>'


def small(name: str, title: str) -> str:
    """A run's name in small letters, where the title does not say it already."""
    return "" if name == title else f"<small>{escaped(name)}</small>"
