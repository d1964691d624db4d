"""The one-page report: a single HTML file that needs neither network nor other files."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxgen import __version__
from jaxgen.atomic_write import write_whole
from jaxgen.errors import UserError
from jaxgen.reporting.curves import Curve, curves_svg
from jaxgen.reporting.fields import rows
from jaxgen.reporting.kept_edits import edits_section
from jaxgen.reporting.markup import counted, duration, escaped, number, percent, rounded
from jaxgen.reporting.prose import family_title, headline, lede, passages, titles
from jaxgen.reporting.reasons import REASONS, by_reason
from jaxgen.reporting.reliability import reliability_figure
from jaxgen.reporting.run_view import RunView, split
from jaxgen.reporting.samples_figure import samples_figure
from jaxgen.reporting.style import STYLE
from jaxgen.reporting.table import comparison_tables
from jaxgen.reporting.trial import Trial, trial_section
from jaxgen.reporting.tuning_tables import change, change_columns, drifts, tuned_tables

# Whatever a run folder holds, the browser loads nothing: the policy allows the page's own media and style alone.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
CHARTS_SHOWN = 4  # two by two beside the sample grid


def write_report(
    runs: Sequence[RunView],
    references: Mapping[str, Mapping[str, float]],
    out: Path,
    title: str,
    notes: Sequence[str] = (),
    command: str = "",
    trials: Sequence[Trial] = (),
) -> None:
    """Write the page at `out` in one move.

    Runs that start afresh are compared; those that start from others have tables of their own, and stand under theirs.
    `references`: figures of the rows that are no runs ("real digits", "per-class pixel histogram"). `notes`: plain
    paragraphs under the headline. `trials` stand below the runs. `command`: what made the page, shown at its end.
    Raises UserError without a run.
    """
    if not runs:
        raise UserError("there is no run to report; name one or more with --workdir")
    plain, tuned = split(runs)
    body = [
        f'<header><p class="kicker">{escaped(title)}</p><h1>{escaped(headline(runs))}</h1>',
        f'<p class="lede">{escaped(lede(runs))}</p>',
        *(f"<p>{escaped(note)}</p>" for note in notes),
        "</header>",
        comparison_tables(plain or tuned, references),
        *([tuned_tables(tuned, len(plain))] if tuned else []),
        _not_measured(runs, references),
        _how_to_read(runs, references),
        *_sections(plain, tuned),
        *map(trial_section, trials),
        footer(command),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, document(title, "\n".join(body)))


def document(title: str, body: str) -> str:
    """A whole page of the reports' style around its body's HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _not_measured(runs: Sequence[RunView], references: Mapping[str, Mapping[str, object]]) -> str:
    """Whose figures are missing, and why; nothing where there is no reason to tell."""
    rows = {run.name: run.summary for run in runs} | dict(references)
    told = [f"{name}: {sentence}" for name, row in rows.items() for sentence in by_reason(row)]
    lines = "".join(f"<li>{escaped(sentence)}</li>" for sentence in told)
    return f'<div class="prose"><p>Dashes that have a reason:</p><ul>{lines}</ul></div>' if told else ""


def _how_to_read(runs: Sequence[RunView], references: Mapping[str, Mapping[str, float]]) -> str:
    figures = [name for row in (*(run.summary for run in runs), *references.values()) for name in row]
    texts = "".join(f"<p>{escaped(text)}</p>" for text in passages(figures, references))
    return f'<details class="prose" open><summary>How to read this page</summary><div>{texts}</div></details>'


def _sections(plain: Sequence[RunView], tuned: Sequence[RunView]) -> list[str]:
    """A section a plain run, the runs that started from it within; then those whose start is not on the page."""
    below: dict[int, list[str]] = {}
    orphans: dict[str, list[str]] = {}
    for index, run in enumerate(tuned, len(plain)):
        root, part = _root(run, plain, tuned), _tuned(run, index)
        group = orphans.setdefault(run.start, []) if root is None else below.setdefault(root, [])
        group.append(part)
    sections = [
        _run_section(run, title, index, "".join(below.get(index, [])))
        for index, (run, title) in enumerate(zip(plain, titles(plain), strict=True))
    ]
    sections += [
        f"<section><h2>Started from {escaped(start)}</h2>{''.join(parts)}</section>" for start, parts in orphans.items()
    ]
    return sections


def _root(run: RunView, plain: Sequence[RunView], tuned: Sequence[RunView]) -> int | None:
    """The place of the plain run that this one goes back to, over others that are tuned where need be."""
    places = {plain_run.name: place for place, plain_run in reversed(list(enumerate(plain)))}
    starts = {other.name: other.start for other in tuned}
    name = run.start
    for _ in range(len(tuned) + 1):  # run folders may name each other in a circle
        if name in places or name not in starts:
            break
        name = starts[name]
    return places.get(name)


def _tuned(run: RunView, index: int) -> str:
    """A compact part of a section: the pictures before and after side by side, one line of facts, one curve."""
    charts = _drawn(run)
    chosen = next((name for name in (run.tuned_by, "loss") if name in charts), next(iter(charts), ""))
    more = [chart for name, chart in charts.items() if name != chosen]
    parts = [
        f'<div class="tuned" id="run-{index}"><h3>{escaped(family_title(run))}, {escaped(_aim(run))}',
        f"<small>{escaped(run.name)}</small></h3>",
        f'<p class="facts">{escaped(" · ".join(filter(None, (_changes(run), _facts(run)))))}</p><div class="pair">',
        samples_figure(run.samples_before, "Before", f"Samples before {run.name}"),
        samples_figure(run.samples, "After", f"Samples of {run.name}"),
        charts.get(chosen, ""),
        "</div>",
        edits_section(run.edits, run.name),
        _details(run, more),
        "</div>",
    ]
    return "".join(parts)


def _aim(run: RunView) -> str:
    """What the run was tuned on or toward, in words, as far as its experiment says."""
    fields = dict(rows(run.experiment))
    if run.tuned_by == "data":
        return f"fine-tuned on {fields.get('data.name', 'data')}"
    place = "rewards.reward.function" if "rewards.reward.function" in fields else "rewards.reward"
    kind = fields.get(place, "").rpartition(".")[2]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower() or "a reward"
    inner = [f"{name.rpartition('.')[2]} {text}" for name, text in fields.items() if name.startswith(f"{place}.")]
    return f"tuned toward {words}{' (' + ', '.join(inner) + ')' if inner else ''}"


def _changes(run: RunView) -> str:
    """What tuning changed, how far it went from its start and what it left as it was, in one line."""
    named = [(column, change(column, run)) for column in change_columns([run])]
    named += drifts(run)
    words = [" ".join(filter(None, (column.head, text, column.unit))) for column, text in named]
    frozen = number(run.summary.get("frozen_fraction"))
    return " · ".join([*words, *([] if frozen is None else [f"{percent(frozen)} frozen"])])


def _run_section(run: RunView, title: str, index: int, below: str) -> str:
    charts = list(_drawn(run).values())
    shown, more = charts[:CHARTS_SHOWN], charts[CHARTS_SHOWN:]
    if diagram := reliability_figure(run.calibration, f"Reliability of {run.name}"):
        shown, more = [diagram, *shown[:-1]], [*shown[-1:], *more]
    name = f"<small>{escaped(run.name)}</small>" if run.name != title else ""
    parts = [
        f'<section id="run-{index}"><h2>{escaped(title)}{name}</h2>',
        f'<p class="facts">{escaped(_facts(run))}</p><div class="run">',
        samples_figure(run.samples, "Newest samples", f"Samples of {run.name}"),
        f'<div class="charts{"" if run.samples else " lone"}">{"".join(shown)}</div>' if shown else "",
        "</div>",
        edits_section(run.edits, run.name),
        _details(run, more),
        below,
        "</section>",
    ]
    return "".join(parts)


def _details(run: RunView, more: Sequence[str]) -> str:
    """What is folded away: the other curves, all figures, the experiment and the environment."""
    parts = [
        _folded("More curves", f'<div class="charts">{"".join(more)}</div>') if more else "",
        _folded("Where the time went", _fields(_shares(run.summary["spent"]))) if run.summary.get("spent") else "",
        _folded("All figures", _fields(_figures(run))) if run.summary else "",
        _folded("The experiment, field by field", _fields(run.experiment)) if run.experiment else "",
        _folded("The environment it ran in", _fields(run.environment)) if run.environment else "",
    ]
    return "".join(parts)


def _figures(run: RunView) -> dict[str, object]:
    """The summary but for what is told apart."""
    return {name: value for name, value in run.summary.items() if name not in ("spent", REASONS)}


def _shares(spent: Mapping[str, object]) -> dict[str, str]:
    """Each cause's seconds and its share of the run's processes' time."""
    known = {cause: number(seconds) or 0.0 for cause, seconds in spent.items()}
    whole = sum(known.values()) or 1.0
    return {cause: f"{duration(seconds)}, {100 * seconds / whole:.1f} %" for cause, seconds in known.items()}


def _facts(run: RunView) -> str:
    """The run's size and time in one line, as far as the summary knows them."""
    words = {
        "parameters": lambda value: f"{counted(value)} parameters",
        "steps": lambda value: f"{counted(value)} steps",
        "train_seconds": lambda value: f"trained in {duration(value)}",
        "examples_per_second": lambda value: f"{rounded(value)} examples/s",
    }
    known = {name: number(run.summary.get(name)) for name in words}
    return " · ".join(words[name](value) for name, value in known.items() if value is not None)


def _drawn(run: RunView) -> dict[str, str]:
    """The charts by name in the order of their weight: losses, what was evaluated, speed, the others."""
    charts = {**_curves([_speed(line) for line in run.timing]), **_curves(run.metrics)}
    losses = [name for name in charts if name == "loss" or name.endswith("_loss")]
    measured = [name for name in charts if any(curve.dots for curve in charts[name])]
    return {name: chart(name.replace("_", " "), charts[name]) for name in dict.fromkeys([*losses, *measured, *charts])}


def _speed(line: Mapping[str, object]) -> dict[str, object]:
    """A timing line without all but the rates."""
    return {name: value for name, value in line.items() if name == "step" or name.endswith("_per_second")}


def chart(words: str, curves: Sequence[Curve], axis: str = "step", logarithmic: bool = False) -> str:
    """A chart under its words, a figure of a page."""
    svg = curves_svg(curves, words, axis, logarithmic)
    return f"<figure><figcaption>{escaped(words)}</figcaption>{svg}</figure>"


def _curves(lines: Sequence[Mapping[str, object]]) -> dict[str, list[Curve]]:
    """The curves of each chart: `generator/loss` and `discriminator/loss`, train and test, share the chart "loss"."""
    found: dict[str, dict[tuple[str, str], list[tuple[float, float]]]] = {}
    for line in lines:
        step, split = number(line.get("step")), str(line.get("split", "train"))
        for name, value in line.items():
            if step is not None and name not in ("step", "split") and not isinstance(value, bool | str | list | dict):
                player, _, figure = name.rpartition("/")
                point = (step, math.nan if value is None else value)  # a run writes what is not finite as null
                found.setdefault(figure, {}).setdefault((player, split), []).append(point)
    return {figure: [_curve(*named, points) for named, points in series.items()] for figure, series in found.items()}


def _curve(player: str, split: str, points: list[tuple[float, float]]) -> Curve:
    name = f"{player}, {split}" if player else split
    return Curve(name, sorted(points, key=lambda point: point[0]), dots=split != "train")


def _fields(content: Mapping[str, object]) -> str:
    lines = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(text)}</td></tr>" for name, text in rows(content))
    return f'<table class="fields">{lines}</table>'


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escaped(summary)}</summary>{content}</details>"


def footer(command: str) -> str:
    """A page's end: the command that made it, where there is one, and the version."""
    made = f"<p>Made by</p><pre>{escaped(command)}</pre>" if command else ""
    words = f"jaxgen {__version__}. This page is one file and loads nothing from the network."
    return f"<footer>{made}<p>{words}</p></footer>"
