"""The one-page report: a single HTML file that needs neither network nor other files."""
# SPDX-License-Identifier: Apache-2.0

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxgen import __version__
from jaxgen.errors import UserError
from jaxgen.files import write_whole
from jaxgen.reporting.curves import Curve, curves_svg
from jaxgen.reporting.fields import rows
from jaxgen.reporting.markup import counted, duration, escaped, number, rounded
from jaxgen.reporting.prose import headline, lede, passages, titles
from jaxgen.reporting.run_view import RunView
from jaxgen.reporting.style import STYLE
from jaxgen.reporting.table import comparison_tables

# Whatever a run folder holds, the browser loads nothing: the policy allows the page's own pictures and style alone.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CHARTS_SHOWN = 4  # two by two beside the sample grid
TEXT_SHOWN = 6000  # characters of sample text


def write_report(
    runs: Sequence[RunView],
    references: Mapping[str, Mapping[str, float]],
    out: Path,
    title: str,
    notes: Sequence[str] = (),
    command: str = "",
) -> None:
    """Write the page at `out` in one move.

    `references`: figures of the rows that are no runs ("real digits", "per-class pixel histogram"). `notes`: plain
    paragraphs under the headline. `command`: what made the page, shown at its end. Raises UserError without a run.
    """
    if not runs:
        raise UserError("there is no run to report; name one or more with --workdir")
    body = [
        f'<header><p class="kicker">{escaped(title)}</p><h1>{escaped(headline(runs))}</h1>',
        f'<p class="lede">{escaped(lede(runs))}</p>',
        *(f"<p>{escaped(note)}</p>" for note in notes),
        "</header>",
        comparison_tables(runs, references),
        _how_to_read(runs, references),
        *(_run_section(run, name, index) for index, (run, name) in enumerate(zip(runs, titles(runs), strict=True))),
        _footer(command),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, _document(title, "\n".join(body)))


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _how_to_read(runs: Sequence[RunView], references: Mapping[str, Mapping[str, float]]) -> str:
    figures = [name for row in (*(run.summary for run in runs), *references.values()) for name in row]
    texts = "".join(f"<p>{escaped(text)}</p>" for text in passages(figures, references))
    return f'<details class="prose" open><summary>How to read this page</summary><div>{texts}</div></details>'


def _run_section(run: RunView, title: str, index: int) -> str:
    shown, more = _charts(run)
    name = f"<small>{escaped(run.name)}</small>" if run.name != title else ""
    parts = [
        f'<section id="run-{index}"><h2>{escaped(title)}{name}</h2>',
        f'<p class="facts">{escaped(_facts(run))}</p><div class="run">',
        _picture(run),
        f'<div class="charts{"" if run.samples else " lone"}">{"".join(shown)}</div>' if shown else "",
        _text(run),
        "</div>",
        _folded("More curves", f'<div class="charts">{"".join(more)}</div>') if more else "",
        _folded("All figures", _fields(run.summary)) if run.summary else "",
        _folded("The experiment, field by field", _fields(run.experiment)) if run.experiment else "",
        _folded("The environment it ran in", _fields(run.environment)) if run.environment else "",
        "</section>",
    ]
    return "".join(parts)


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


def _picture(run: RunView) -> str:
    if run.samples is None:
        return ""
    width, height = (int.from_bytes(run.samples[start : start + 4], "big") for start in (16, 20))  # PNG's IHDR
    return (
        f"<figure><figcaption>Newest samples</figcaption>"
        f'<img alt="Samples of {escaped(run.name)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{base64.b64encode(run.samples).decode()}"></figure>'
    )


def _text(run: RunView) -> str:
    if not run.sample_text:
        return ""
    text = run.sample_text[:TEXT_SHOWN] + ("…" if len(run.sample_text) > TEXT_SHOWN else "")
    return f'<figure class="text"><figcaption>Sample text</figcaption><pre>{escaped(text)}</pre></figure>'


def _charts(run: RunView) -> tuple[list[str], list[str]]:
    """The charts shown at once (losses, what was evaluated, speed, the others), and those that are folded away."""
    charts = {**_curves([_speed(line) for line in run.timing]), **_curves(run.metrics)}
    losses = [name for name in charts if name == "loss" or name.endswith("_loss")]
    measured = [name for name in charts if any(curve.dots for curve in charts[name])]
    drawn = [_chart(name, charts[name]) for name in dict.fromkeys([*losses, *measured, *charts])]
    return drawn[:CHARTS_SHOWN], drawn[CHARTS_SHOWN:]


def _speed(line: Mapping[str, object]) -> dict[str, object]:
    """A timing line without all but the rates."""
    return {name: value for name, value in line.items() if name == "step" or name.endswith("_per_second")}


def _chart(name: str, curves: Sequence[Curve]) -> str:
    words = name.replace("_", " ")
    return f"<figure><figcaption>{escaped(words)}</figcaption>{curves_svg(curves, words)}</figure>"


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


def _footer(command: str) -> str:
    made = f"<p>Made by</p><pre>{escaped(command)}</pre>" if command else ""
    words = f"jaxgen {__version__}. This page is one file and loads nothing from the network."
    return f"<footer>{made}<p>{words}</p></footer>"
