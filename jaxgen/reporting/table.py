"""The comparison table: a row a run, the reference rows under them, the best value of each column marked."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from jaxgen.reporting.columns import Better, Column, columns
from jaxgen.reporting.markup import DASH, escaped, number
from jaxgen.reporting.run_view import RunView, labels

LIKELIHOODS = ("bits_per_dim", "nats_per_token", "perplexity")  # the columns where a bound is not the value itself


def comparison_table(runs: Sequence[RunView], references: Mapping[str, Mapping[str, float]]) -> str:
    """The `<table>`. Best values are chosen among the runs alone: the references are there to be compared with."""
    shown = columns([*(run.summary for run in runs), *references.values()])
    best = {column.name: column.best([number(run.summary.get(column.name)) for run in runs]) for column in shown}
    rows = [
        f'<tr><th scope="row"><a href="#run-{index}">{escaped(label)}</a>{_small(run.name, label)}</th>'
        f"{''.join(_cell(column, run.summary, best[column.name]) for column in shown)}</tr>"
        for index, (run, label) in enumerate(zip(runs, labels(runs), strict=True))
    ]
    below = [
        f'<tr><th scope="row">{escaped(name)}</th>{"".join(_cell(column, row, None) for column in shown)}</tr>'
        for name, row in references.items()
    ]
    return (
        f'<div class="scroll"><table class="figures"><thead>{"".join(_heads(shown))}</thead>'
        f'<tbody>{"".join(rows)}</tbody><tbody class="references">{"".join(below)}</tbody></table></div>'
    )


def _heads(shown: Sequence[Column]) -> Iterator[str]:
    yield '<tr class="groups"><td></td>'
    for group, members in groupby(shown, key=lambda column: column.group):
        yield f'<th scope="colgroup" colspan="{len(list(members))}">{group.value}</th>'
    yield '</tr><tr><th scope="col">Model</th>'
    for column in shown:
        yield _head(column)
    yield "</tr>"


def _head(column: Column) -> str:
    sign, words = column.better.value
    tooltip = f"{column.tooltip}; {words}" if words else column.tooltip
    arrow = "" if column.better is Better.NEITHER else f' <span class="way" aria-label="{words}">{sign}</span>'
    detail = f"<small>{escaped(column.detail)}</small>" if column.detail else ""
    unit = f"<small>{escaped(column.unit)}</small>" if column.unit else ""
    return f'<th scope="col" title="{escaped(tooltip)}">{escaped(column.head)}{arrow}{unit}{detail}</th>'


def _cell(column: Column, row: Mapping[str, object], best: float | None) -> str:
    value = number(row.get(column.name))
    if value is None:
        return f'<td class="none">{DASH}</td>'
    text = column.show(value)
    bound = row.get("bound", "exact")
    if column.name in LIKELIHOODS and bound != "exact":
        text = f'<span title="a bound: {escaped(bound)}">≤ {text}</span>'
    marked = best is not None and column.show(best) == column.show(value)
    return f'<td class="best" title="best of the runs">{text}</td>' if marked else f"<td>{text}</td>"


def _small(name: str, label: str) -> str:
    return "" if name == label else f"<small>{escaped(name)}</small>"
