"""`jaxgen search` runs each trial once, goes on where it was stopped, and keeps the best as an experiment."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys

import pytest

from jaxgen.ablation import Metric
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.searching import Trial, _Study
from jaxgen.search_space import Pruner, Range, Sampler, Search
from jaxgen.training.lock import Lock
from tests.commands.command import here, told

FILE = '''"""Which rate is best?"""
from jaxgen.ablation import Metric, Steps
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.search_space import Pruner, Range, Search

SMALL = ["data.batch_size=4", "data.length=16", "evaluate.examples=8", "task.network.width=8", "every.evaluate=2"]


def search() -> Search:
    base = set_fields(load_experiment("rnn/python_docs", Experiment), SMALL)
    space = {SPACE}
    return Search(base, space, Metric("METRIC"), trials=TRIALS, budget=Steps(4), pruner=Pruner.MEDIAN)
'''
PEAK = "optimisers.likelihood.learning_rate.peak"
BASE = load_experiment("rnn/digits", Experiment)
SPACE = {PEAK: Range(1e-4, 1e-1, log=True), "data.batch_size": Range(8, 32), "task.network.cell": ("LSTM", "GRU")}


def written(folder, trials=3, space=f'"{PEAK}": Range(1e-4, 1e-1, log=True)', metric="bits_per_character"):
    file = folder / "search.py"
    file.write_text(FILE.replace("SPACE", space).replace("METRIC", metric).replace("TRIALS", str(trials)))
    return file


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("search")
    asked = "search", "--config", written(folder), "--workdir", folder / "runs"
    return asked, here(*asked), folder


def trials_of(folder):
    return [json.loads(path.read_text()) for path in sorted((folder / "runs" / "trials").iterdir())]


def test_each_trial_s_figure_is_its_run_s_and_the_best_is_kept(ended):
    _, process, folder = ended
    assert process.returncode == 0, process.stderr
    trials = trials_of(folder)
    assert len(trials) == 3 and len({trial["values"][PEAK] for trial in trials}) == 3
    for number, trial in enumerate(trials):
        run = folder / "runs" / "members" / f"trial-{number:04}"
        assert trial["figure"] == json.loads((run / "summary.json").read_text())["bits_per_character"]
        assert trial["steps"] == 4 and set(trial["reported"]) == {"2", "4"}
    best = min(trials, key=lambda trial: trial["figure"])
    kept = load_experiment(folder / "runs" / "best.py", Experiment)
    assert kept.optimisers["likelihood"].learning_rate.peak == best["values"][PEAK]
    first = process.stdout.splitlines()[2].split("|")
    assert int(first[1]) == trials.index(best)
    assert "Which rate is best?" in (folder / "runs" / "search.html").read_text()


def test_more_trials_go_on_and_the_first_are_not_run_again(ended):
    asked, _, folder = ended
    before = trials_of(folder)
    written(folder, trials=4)
    assert here(*asked).returncode == 0
    after = trials_of(folder)
    assert after[:3] == before and len(after) == 4


def test_a_trial_that_was_stopped_goes_on_with_its_values(ended, tmp_path):
    asked, _, folder = ended
    file = folder / "runs" / "trials" / "0001.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps({"values": before["values"]}))  # as it stands while the trial runs
    assert here(*asked).returncode == 0
    after = json.loads(file.read_text())
    assert (after["values"], after["figure"]) == (before["values"], before["figure"])


def test_a_trial_that_fails_is_told_and_the_others_end(tmp_path):
    pytest.importorskip("optuna")
    file = written(tmp_path, trials=2, space='"data.length": (16, 100_000_000)')
    (tmp_path / "runs" / "trials").mkdir(parents=True)
    for number, size in enumerate((100_000_000, 16)):  # begun before, so that no luck decides what is drawn
        begun = {"values": {"data.length": size}}
        (tmp_path / "runs" / "trials" / f"000{number}.json").write_text(json.dumps(begun))
    process = here("search", "--config", file, "--workdir", tmp_path / "runs")
    failed = [trial["failed"] for trial in trials_of(tmp_path)]
    assert process.returncode == 1 and any(failed) and not all(failed)
    assert [one is not None for one in failed] == [True, False]
    assert " failed: " in process.stderr and "| failed |" in process.stdout


def test_what_optuna_is_told_is_what_the_folder_says():
    """A study made anew from files draws what one that went on would: here by the same random sampler."""
    pytest.importorskip("optuna")
    space = {PEAK: Range(1e-4, 1e-1, log=True), "data.batch_size": Range(8, 32), "task.network.cell": ("LSTM", "GRU")}
    asked = Search(BASE, space, Metric("bits_per_dim"), sampler=Sampler.TPE, pruner=Pruner.MEDIAN)
    study = _Study(asked)
    values = {PEAK: 1e-3, "data.batch_size": 16, "task.network.cell": "GRU"}
    ends = [Trial(values, figure=2.0, reported={"1": 3.0, "2": 2.5}), Trial(values, pruned=True, reported={"1": 9.0})]
    for trial in (*ends, Trial(values, failed="no room"), Trial(values)):
        study.add(trial)
    states = [trial.state.name for trial in study._study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL"] and study._study.best_value == 2.0
    assert study._study.trials[0].intermediate_values == {1: 3.0, 2: 2.5}
    again = study.ask(values)
    assert again.params == values
    drawn = study.ask(None).params
    assert (
        1e-4 <= drawn[PEAK] <= 1e-1
        and 8 <= drawn["data.batch_size"] <= 32
        and isinstance(drawn["data.batch_size"], int)
    )


def test_a_second_search_in_a_folder_at_work_is_refused(tmp_path):
    file, runs = written(tmp_path), tmp_path / "runs"
    runs.mkdir()
    lock = Lock(runs / ".lock")
    try:
        sentence = told(here("search", "--config", file, "--workdir", runs))
    finally:
        lock.close()
    assert "another process is training in" in sentence and [path.name for path in runs.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({}, "the space has no fields"),
        ({PEAK: ()}, f"the field '{PEAK}' has no values"),
        ({"task.network.widht": (8, 16)}, "the space's task.network.widht=8: .* did you mean 'width'"),
        ([("task.network.width", (8, 16))], "the space has no fields"),
        ({"task.network.width": 8}, "has 8; give it a Range, or values in brackets"),
        ({"task.network.cell": "GRU"}, "has 'GRU'; give it a Range, or values in brackets"),
        ({"task.network.width": (8, "wide", 12)}, "the space's task.network.width=wide"),
        (
            {"task.network.width": Range(8.0, 16.0)},
            r"takes no numbers between .* give Range\(low=8, high=16, log=False",
        ),
        ({"task.network.dropout": Range(0.0, 2.0)}, "dropout is 2.0"),
    ],
)
def test_a_space_that_cannot_be_is_told(space, sentence):
    with pytest.raises(UserError, match=sentence):
        Search(BASE, space, Metric("bits_per_dim"))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"base": "rnn/digits"}, "base is a value of type str; give an Experiment"),
        ({"metric": "bits_per_dim"}, "metric is 'bits_per_dim'; give one Metric"),
        ({"metric": (Metric("bits_per_dim"),)}, "give one Metric"),
        *(({"trials": count}, f"trials is {count!r}; give a whole number") for count in (0, 2.5, "20")),
        ({"budget": 200}, r"budget is 200; say of what, as Steps\(200\)"),
        ({"sampler": "random"}, "sampler is 'random'; give Sampler.TPE or Sampler.RANDOM"),
        ({"pruner": "median"}, "pruner is 'median'; give Pruner.MEDIAN or Pruner.HYPERBAND, or None"),
        *(({"seed": seed}, f"seed is {seed!r}; give a whole number") for seed in (-1, 0.5, None)),
    ],
)
def test_a_setting_of_another_kind_is_told(setting, sentence):
    with pytest.raises(UserError, match=sentence):
        Search(**{"base": BASE, "space": SPACE, "metric": Metric("bits_per_dim")} | setting)


def test_a_range_of_floats_for_a_field_of_floats_may_end_in_whole_ones():
    Search(BASE, {"task.network.dropout": Range(0.0, 0.5)}, Metric("x"))
    Search(BASE, {"task.network.width": Range(8, 16), PEAK: Range(1e-3, 1.0)}, Metric("x"))


def test_mistakes_are_told(tmp_path, monkeypatch):
    for ends in ((2, 1), (0.0, 1.0, True), ("8", 16), (0.0, float("inf"))):
        with pytest.raises(UserError, match="give a low"):
            Range(*ends)
    asked = "search", "--config", written(tmp_path), "--workdir", tmp_path / "runs"
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "needs the package optuna; run `pip install 'jaxgen[optuna]'`" in told(here(*asked))
    written(tmp_path, metric="bits")
    assert "holds another search, whose metric is another" in told(here(*asked))


@pytest.mark.parametrize("pruner", [", pruner=Pruner.MEDIAN", ""])
def test_a_figure_that_no_trial_has_ends_the_search_at_its_first(pruner, tmp_path):
    pytest.importorskip("optuna")
    file = written(tmp_path, metric="bits_per_charcter")
    file.write_text(file.read_text().replace(", pruner=Pruner.MEDIAN", pruner))
    process = here("search", "--config", file, "--workdir", tmp_path / "runs")
    assert process.returncode == 2 and "did you mean 'bits_per_character'" in process.stderr
    assert [trial["failed"] for trial in trials_of(tmp_path)] == [None]
