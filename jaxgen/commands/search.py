"""`jaxgen search`: the trials of a search run and measured, the best told and kept as an experiment."""
# SPDX-License-Identifier: Apache-2.0

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from jaxgen.config.reading import load_experiment
from jaxgen.config.shipped import question
from jaxgen.reporting.ablation_page import write_ablation
from jaxgen.reporting.curves import Curve
from jaxgen.reporting.markup import duration, rounded
from jaxgen.reporting.terminal import say
from jaxgen.running.ablating import put
from jaxgen.running.ablation_results import RESULTS, markdown
from jaxgen.running.best_experiment import BEST, best_file
from jaxgen.running.searching import Trial, alone_in, kept_trials, run_trials, same_search
from jaxgen.running.stopping import Stop
from jaxgen.search_space import Search, trial_name
from jaxgen.standard_streams import put_out
from jaxgen.training.folder import named_folder

PAGE = "search.html"
_SHOWN = 6  # curves on the page, of the best trials


def search(config: str, workdir: str) -> int:
    """The table of trials on stdout, the page, results.json and best.py in the folder; the exit code.

    1 where a trial failed, 128 + the signal's number where it was stopped: the same command goes on from there.
    """
    folder = named_folder(workdir)
    asked = load_experiment(config, Search, "search")
    with alone_in(folder):
        return _searched(asked, folder, config)


def _searched(asked: Search, folder: Path, config: str) -> int:
    same_search(folder, asked)
    with Stop("after this trial's step") as stop:
        run_trials(asked, folder, stop)
    if stop():
        say(f"stopped; {folder} holds what is trained, the same command goes on from there")
        return 128 + stop.signal
    trials = kept_trials(folder, asked)
    _write(asked, trials, folder, config)
    for number, trial in trials.items():
        if trial.failed:
            say(f"{trial_name(number)} failed: {trial.failed}")
    say(f"the page is {folder / PAGE}")
    return 1 if any(trial.failed for trial in trials.values()) else 0


def _write(asked: Search, trials: Mapping[int, Trial], folder: Path, config: str) -> None:
    """Everything that a search tells, the best first."""
    sign = 1 if asked.metric.lower else -1
    measured = [number for number, one in trials.items() if one.figure is not None]
    measured.sort(key=lambda number: sign * trials[number].figure)
    others = [number for number, one in trials.items() if one.figure is None]
    table = _table(asked, {number: trials[number] for number in (*measured, *others)})
    put_out(markdown(table) + "\n")
    plain = {trial_name(number): asdict(one) for number, one in trials.items()}
    put(folder / RESULTS, json.dumps(plain, indent=2, allow_nan=False) + "\n")
    said = [f"{len(measured)} of {len(trials)} trials measured, {_ended(trials)}."]
    if measured:
        best, figure = trial_name(measured[0]), rounded(trials[measured[0]].figure)
        sentence = f"{best}: the best {asked.metric.name} of this search, {figure}."
        put(folder / BEST, best_file(sentence, best))
        said.append(f"{sentence} Its experiment is {BEST}.")
    curves = [
        Curve(
            trial_name(number),
            sorted((int(step), value) for step, value in one.reported.items() if value is not None),
            True,
        )
        for number in measured[:_SHOWN]
        if (one := trials[number]).reported
    ]
    title = question(config, folder.resolve().name)
    command = shlex.join(["jaxgen", "search", "--config", config, "--workdir", str(folder)])
    shown = {asked.metric.name: curves} if curves else {}
    write_ablation(folder / PAGE, title, said, [table], [], shown, command, "Search")


def _ended(trials: Mapping[int, Trial]) -> str:
    pruned = sum(one.pruned for one in trials.values())
    failed = sum(one.failed is not None for one in trials.values())
    seconds = duration(sum(one.seconds for one in trials.values()))
    return f"{pruned} ended early, {failed} failed, {seconds} of computing in all"


def _table(asked: Search, trials: Mapping[int, Trial]) -> list[list[str]]:
    heads = ["trial", *(name.rpartition(".")[2] for name in asked.space)]
    table = [[*heads, f"{asked.metric.name} {'↓' if asked.metric.lower else '↑'}", "steps", "time"]]
    for number, one in trials.items():
        values = [rounded(value) if isinstance(value, float) else str(value) for value in one.values.values()]
        figure = "ended early" if one.pruned else "failed" if one.failed else rounded(one.figure)
        table.append([str(number), *values, figure, f"{one.steps:,}", duration(one.seconds)])
    return table
