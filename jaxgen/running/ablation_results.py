"""What an ablation found: each configuration's figures over its seeds, each axis value's effect, as table and page."""
# SPDX-License-Identifier: Apache-2.0

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.ablation import EXPERIMENT, Ablation, Design, Member, Metric, configuration_title, level_title
from jaxgen.config.comparison import differences, settings_between
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.metrics.effects import Effect, Interval, effect, holm, interval
from jaxgen.reporting.ablation_page import Bar, Plot, write_ablation
from jaxgen.reporting.curves import Curve
from jaxgen.reporting.markup import duration, rounded
from jaxgen.running.ablating import RUNS, Outcome, outcome_of, put, refuse_unknown_metrics, run_folder, trained_runs
from jaxgen.running.best_experiment import BEST, best_file
from jaxgen.running.trained import CHANGEABLE, read_experiment
from jaxgen.training.folder import metric_lines

PAGE, RESULTS = "ablation.html", "results.json"


@dataclass(frozen=True)
class Configuration:
    """One combination of levels: its figures over the seeds that have ended, and what each of its runs took."""

    name: str
    levels: Mapping[str, str]
    figures: Mapping[str, Interval]
    steps: float
    seconds: float
    failed: tuple[str, ...] = ()  # sentences
    early: int = 0  # runs that were ended early
    runs: int = 0  # that have ended


@dataclass(frozen=True)
class Change:
    """An axis's level beside its first: the difference of a metric, pairs of one seed, the mean of the other axes'."""

    within: str | None  # the experiment that is looked at by itself
    axis: str
    label: str  # of the axis
    level: str
    first: str
    metric: str
    effect: Effect
    p: float  # corrected for all comparisons of the metric (Holm)

    @property
    def name(self) -> str:
        change = f"{level_title(self.label, self.level)} over {self.first}"
        return change if self.within is None else f"{self.within}, {change}"


@dataclass(frozen=True)
class Results:
    """All that has ended; `seconds` are those of all runs together."""

    configurations: Sequence[Configuration]
    changes: Sequence[Change]
    ended: int
    asked: int
    seconds: float

    @property
    def failed(self) -> list[str]:
        return [sentence for one in self.configurations for sentence in one.failed]

    @property
    def incomplete(self) -> list[str]:
        """Sentences about runs that have ended without a figure that others of their configuration have."""
        return [
            f"{one.runs - of.count} of {one.runs} runs of {one.name} have no finite {name}"
            for one in self.configurations
            for name, of in one.figures.items()
            if of.count < one.runs
        ]


def results_of(ablation: Ablation, workdir: Path) -> Results:
    """UserError where every member has ended and none has one of the metrics."""
    members = ablation.members
    outcomes = {member.name: outcome_of(workdir, member) for member in members}
    ended = [outcome for outcome in outcomes.values() if outcome is not None]
    refuse_unknown_metrics(ablation, ended, len(ended) == len(members))
    found: dict[tuple, list[tuple[Member, Outcome | None]]] = {}
    for member in members:
        found.setdefault(tuple(member.levels.items()), []).append((member, outcomes[member.name]))
    configurations = [_configuration(ablation, of) for of in found.values()]
    changes = [change for metric in ablation.metrics for change in _changes(ablation, metric, members, outcomes)]
    done = sum(outcome.failed is None for outcome in ended)
    starts = [outcome for start in ablation.starts if (outcome := outcome_of(workdir, start)) is not None]
    seconds = sum(outcome.seconds for outcome in (*starts, *ended))
    return Results(configurations, changes, done, len(members), seconds)


def _configuration(ablation: Ablation, of: Sequence[tuple[Member, Outcome | None]]) -> Configuration:
    """Of its runs with all seeds, those that have ended."""
    ended = [outcome for _, outcome in of if outcome is not None and outcome.failed is None]
    figures = {}
    for metric in ablation.metrics:
        values = [value for outcome in ended if (value := _figure(outcome, metric)) is not None]
        if values:
            figures[metric.name] = interval(values)
    failed = tuple(f"{member.name} failed: {one.failed}" for member, one in of if one is not None and one.failed)
    steps, seconds = (np.mean([getattr(one, name) for one in ended] or [0]) for name in ("steps", "seconds"))
    first = of[0][0]
    title = configuration_title(first.named_by)
    early = sum(one.early for one in ended)
    return Configuration(title, first.levels, figures, float(steps), float(seconds), failed, early, len(ended))


def _figure(outcome: Outcome | None, metric: Metric) -> float | None:
    value = None if outcome is None else outcome.figures.get(metric.name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _changes(
    ablation: Ablation, metric: Metric, members: Sequence[Member], outcomes: Mapping[str, Outcome | None]
) -> list[Change]:
    values = {(member.seed, *member.levels.items()): _figure(outcomes[member.name], metric) for member in members}
    each = ablation.design is Design.EACH_EXPERIMENT
    found = []
    for within in ablation.varied[EXPERIMENT] if each else (None,):
        own = {key: value for key, value in values.items() if not each or (EXPERIMENT, within) in key}
        for axis, (first, *others) in ablation.varied.items():
            for level in () if each and axis == EXPERIMENT else others:
                pairs = list(_pairs(ablation, own, axis, first, level))
                if pairs:
                    of = effect(*zip(*pairs, strict=True))
                    found.append((within, axis, ablation.label(axis), level, first, metric.name, of))
    raised = holm([change[-1].p for change in found])
    return [Change(*change, p) for change, p in zip(found, raised, strict=True)]


def _pairs(
    ablation: Ablation, values: Mapping[tuple, float | None], axis: str, first: str, level: str
) -> Iterator[tuple[float, float]]:
    """For each seed the mean figure with the first level and with this one, over what else both have run with."""
    for seed in ablation.seeds:
        before, after = [], []
        for key, value in values.items():
            if key[0] != seed or (axis, level) not in key:
                continue
            other = values.get(tuple((axis, first) if part == (axis, level) else part for part in key))
            if value is not None and other is not None:
                before.append(other)
                after.append(value)
        if before:
            yield float(np.mean(before)), float(np.mean(after))


def best_member(ablation: Ablation, results: Results) -> Configuration | None:
    """The configuration whose mean of the first metric is the best; None where none has it.

    Those that lack the figure of a seed come last: it may be the seed that diverged.
    """
    metric = ablation.metrics[0]
    known = [one for one in results.configurations if metric.name in one.figures]

    def rank(one: Configuration) -> tuple[bool, float]:
        found = one.figures[metric.name]
        return found.count < len(ablation.seeds), found.mean * (1 if metric.lower else -1)

    return min(known, key=rank, default=None)


def told(found: Interval, signed: bool = False) -> str:
    """`1.63 ± 0.02`: a mean and half its interval; of one value the value alone."""
    mean = f"{'+' if signed and found.mean > 0 else ''}{rounded(found.mean)}"
    return mean if math.isnan(found.low) else f"{mean} ± {rounded(found.high - found.mean)}"


def tables(ablation: Ablation, results: Results) -> list[list[list[str]]]:
    """Two tables of text, each with its heads first: configurations, and the effects of the axes' values."""
    heads = [f"{metric.name} {'↓' if metric.lower else '↑'}" for metric in ablation.metrics]
    first = [["configuration", *heads, "runs", "steps", "time a run"]]
    for one in results.configurations:
        cells = [_cell(one, metric) for metric in ablation.metrics]
        runs = f"{one.runs}, {one.early} ended early" if one.early else str(one.runs)
        first.append([one.name, *cells, runs, f"{one.steps:,.0f}", duration(one.seconds)])
    second = [["change", "metric", "difference", "p, corrected"]]
    for change in results.changes:
        p = "–" if math.isnan(change.p) else f"{change.p:.2g}"
        second.append([change.name, change.metric, told(change.effect.difference, signed=True), p])
    return [first, second] if len(second) > 1 else [first]


def _cell(one: Configuration, metric: Metric) -> str:
    found = one.figures.get(metric.name)
    if found is None:
        return "–"
    return told(found) if found.count == one.runs else f"{told(found)} ({found.count} of {one.runs})"


def markdown(table: Sequence[Sequence[str]]) -> str:
    head, *rows = ["| " + " | ".join(cells) + " |" for cells in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def write_results(ablation: Ablation, results: Results, workdir: Path, title: str, command: str) -> None:
    """results.json, the page and, where a configuration is the best, an experiment file of it."""
    plain = {"configurations": [asdict(one) for one in results.configurations]}
    plain |= {"changes": [asdict(one) for one in results.changes], "seconds": results.seconds}
    put(workdir / RESULTS, json.dumps(_without_nan(plain), indent=2, allow_nan=False) + "\n")
    plots = [Plot(metric.name, _bars(results, metric)) for metric in ablation.metrics]
    said = [f"{results.ended} of {results.asked} runs, {duration(results.seconds)} of computing in all."]
    said += results.failed + results.incomplete
    if (best := best_member(ablation, results)) is not None:
        metric = ablation.metrics[0].name
        kept = _kept(ablation, workdir, best)
        said.append(f"The best {metric} has {best.name}: {told(best.figures[metric])}. {kept}")
    curves = _curves(ablation, workdir)
    write_ablation(workdir / PAGE, title, said, tables(ablation, results), plots, curves, command)


def _bars(results: Results, metric: Metric) -> list[Bar]:
    found = [(one.name, one.effect.difference) for one in results.changes if one.metric == metric.name]
    return [Bar(name, of.mean, of.low, of.high) for name, of in found]


def _curves(ablation: Ablation, workdir: Path) -> dict[str, list[Curve]]:
    """Each metric that training evaluates, and the loss, by step: a curve a configuration, the mean of its seeds."""
    names = ["loss", *(metric.name for metric in ablation.metrics)]
    found: dict[str, dict[str, dict[int, list[float]]]] = {name: {} for name in names}
    for member in ablation.members:
        configuration = configuration_title(member.named_by)
        for row in metric_lines(run_folder(workdir, member)):
            for name in names:
                # what was not finite is null in the file
                if row.get(name) is not None and row["split"] == ("train" if name == "loss" else "test"):
                    found[name].setdefault(configuration, {}).setdefault(row["step"], []).append(row[name])
    return {
        name: [_mean_curve(of, points, name != "loss") for of, points in by.items()] for name, by in found.items() if by
    }


def _mean_curve(name: str, points: Mapping[int, Sequence[float]], dots: bool) -> Curve:
    return Curve(name, [(step, float(np.mean(values))) for step, values in sorted(points.items())], dots)


def _kept(ablation: Ablation, workdir: Path, best: Configuration) -> str:
    """Write the best one's experiment file, where it can be read back; a sentence of where it is."""
    runs = trained_runs(ablation.members)
    member = next(member for member in ablation.members if member.levels == best.levels)
    alike = [name for name, run in runs.items() if run is runs[member.name]]
    run = next((name for name in (member.name, *alike) if (workdir / RUNS / name).is_dir()), None)
    if run is None:
        return "Its run's folder is gone."
    try:
        trained = read_experiment(workdir / RUNS / run, None)
        metric = ablation.metrics[0].name
        sentence = f"{best.name}: the best {metric} of this folder's ablation, {told(best.figures[metric])}."
        settings = _changed(trained, member.experiment, settings_between)
        if left := _changed(read_experiment(workdir / RUNS / run, None, settings), member.experiment, differences):
            raise UserError("; ".join(left))
        put(workdir / BEST, best_file(sentence, run, settings))
    except UserError as error:
        return f"No {BEST} is written, for it would differ from what was run: {error}"
    return f"Its experiment is {BEST}."


def _changed(trained: Experiment, measured: Experiment, by: Callable[[Any, Any], list[str]]) -> list[str]:
    """What was changed of a trained run to measure it otherwise."""
    return [line for line in by(trained, measured) if line.startswith(CHANGEABLE)]


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value
