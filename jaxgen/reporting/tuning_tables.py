"""The tables of runs that start from other runs: what tuning changed, what it moved, and at what cost."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jaxgen.reporting.columns import KNOWN, Better, Column, columns
from jaxgen.reporting.markup import DASH, escaped, number
from jaxgen.reporting.prose import family_title
from jaxgen.reporting.run_view import RunView
from jaxgen.reporting.table import cell, head, small

CAPTIONS = {"data": "Fine-tuned on new data", "reward": "Tuned toward a reward"}
DRIFT = ("kl_nats", "squared_distance", "diversity")  # what a reward cost
COST = ("frozen_fraction", "steps", "train_seconds")


def tuned_tables(runs: Sequence[RunView], first: int) -> str:
    """A `<table>` for each way of tuning that is among the runs; run i's section has the id `run-{first + i}`."""
    placed = [(first + place, run) for place, run in enumerate(runs)]
    tables = [_table(way, [(place, run) for place, run in placed if run.tuned_by == way]) for way in CAPTIONS]
    return "".join(f'<div class="scroll">{table}</div>' for table in tables if table)


def changes(run: RunView) -> tuple[dict[str, float], dict[str, float]]:
    """The figures that the run has from before its first step and from its end as well; of the reward for one."""
    before, after = run.before, run.after
    if run.tuned_by == "reward":
        before, after = _named(after, "reward_at_start", "reward"), _named(after, "reward", "reward")
    shared = [name for name in before if name in after]
    return {name: before[name] for name in shared}, {name: after[name] for name in shared}


def change_columns(runs: Sequence[RunView]) -> list[Column]:
    """The fewest columns, in the tables' order, that show a change of each run that has one."""
    known = [column.name for column in columns(changes(run)[0] for run in runs) if column.base in KNOWN]
    rest = sorted({name for run in runs for name in changes(run)[0]}.difference(known))
    told, kept = set(), []
    for name in [*known, *rest]:
        having = {place for place, run in enumerate(runs) if name in changes(run)[0]}
        if not having <= told:
            told |= having
            kept += columns([{name: 0.0}])
    return [replace(column, head="Reward") if column.name == "reward" else column for column in kept]


def change(column: Column, run: RunView) -> str:
    """The figure before and after, as in "2.72 → 1.36"; a bound is marked; "" where the run does not have both."""
    before, after = (figures.get(column.name) for figures in changes(run))
    if before is None or after is None:
        return ""
    bound = "≤ " if column.base == "bits_per_dim" and run.summary.get("bound", "exact") != "exact" else ""
    return f"{bound}{column.show(before)} → {bound}{column.show(after)}"


def drifts(run: RunView) -> list[tuple[Column, str]]:
    """How far a run that was tuned toward a reward went from its start, and how varied its samples are."""
    found = _beside([run], DRIFT) if run.tuned_by == "reward" else []
    return [(column, column.show(run.summary[column.name])) for column in found if column.base in DRIFT]


def _table(way: str, placed: Sequence[tuple[int, RunView]]) -> str:
    if not placed:
        return ""
    runs = [run for _, run in placed]
    shown, beside = change_columns(runs), _beside(runs, DRIFT if way == "reward" else ())
    heads = [head(column).replace("</th>", "<small>before → after</small></th>") for column in shown]
    heads += [head(replace(column, better=Better.NEITHER)) for column in beside]
    rows = [_row(place, run, shown, beside) for place, run in placed]
    return (
        f'<table class="figures"><caption>{CAPTIONS[way]}</caption><thead><tr><th scope="col">Model</th>'
        f'<th scope="col">Started from</th>{"".join(heads)}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _beside(runs: Sequence[RunView], drift: Sequence[str]) -> list[Column]:
    """The columns of the summaries' figures that a tuning is judged by beside what it changed."""
    return [column for column in columns(run.summary for run in runs) if column.base in (*drift, *COST)]


def _row(place: int, run: RunView, shown: Sequence[Column], beside: Sequence[Column]) -> str:
    title = family_title(run)
    texts = [change(column, run) for column in shown]
    cells = [f"<td>{escaped(text)}</td>" if text else f'<td class="none">{DASH}</td>' for text in texts]
    cells += [cell(column, run.summary, None) for column in beside]
    return (
        f'<tr><th scope="row"><a href="#run-{place}">{escaped(title)}</a>{small(run.name, title)}</th>'
        f"<td>{escaped(run.start)}</td>{''.join(cells)}</tr>"
    )


def _named(figures: Mapping[str, float], name: str, new: str) -> dict[str, float]:
    return {new: figures[name]} if number(figures.get(name)) is not None else {}
