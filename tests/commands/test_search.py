"""`jaxgen search` runs each trial once, goes on where it was stopped, and keeps the best as an experiment."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
from types import SimpleNamespace

import pytest

from jaxgen.ablation import Metric, Steps
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running import ablating, searching
from jaxgen.running.bounded import never
from jaxgen.running.searching import Trial, _Pruning, _Study, kept_trials, run_trials
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


@pytest.mark.parametrize("how", [{}, {"failed": "no room", "steps": 4}], ids=["stopped", "failed"])
def test_a_trial_that_was_stopped_or_has_failed_goes_on_with_its_values(how, ended):
    asked, _, folder = ended
    file = folder / "runs" / "trials" / "0001.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps({"values": before["values"]} | how))  # as it stands while the trial runs, or after
    assert here(*asked).returncode == 0
    after = json.loads(file.read_text())
    assert after | {"seconds": 0} == before | {"seconds": 0}


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


def pretended(stops):
    """In the place of a trial: one whose figure follows from its values, stopped at its fifth evaluation if `stops`."""
    begun = set()

    def run(search, workdir, number, asked, stop, shared):
        reported, slope = {}, asked.params[PEAK] * asked.params["data.batch_size"]
        pruning = _Pruning(asked, search.metric, 27, reported)
        for step in range(1, 28):
            pruned = pruning.ends({at: slope + 1 / at for at in range(1, step + 1)}, ())
            if stops and step == 5 and not pruned and number not in begun:
                begun.add(number)
                return None
            if pruned:
                break
        ends = {"pruned": True} if pruned else {"figure": slope + 1 / step}
        return Trial(asked.params, steps=step, reported={str(at): value for at, value in reported.items()}, **ends)

    return run


@pytest.mark.parametrize("pruner", [None, *Pruner])
@pytest.mark.parametrize("sampler", Sampler)
def test_a_search_that_is_stopped_draws_and_prunes_as_one_that_is_not(sampler, pruner, tmp_path, monkeypatch):
    """With real Optuna, each trial stopped once on its way, and more trials asked for later."""
    pytest.importorskip("optuna")
    asked = [Search(BASE, SPACE, Metric("x"), trials, sampler=sampler, pruner=pruner) for trials in (4, 16)]
    monkeypatch.setattr(searching, "_run", pretended(stops=False))
    run_trials(asked[1], tmp_path / "whole", never)
    whole = kept_trials(tmp_path / "whole", asked[1])
    assert len({trial.values[PEAK] for trial in whole.values()}) == 16
    assert any(trial.pruned for trial in whole.values()) == (pruner is not None)
    monkeypatch.setattr(searching, "_run", pretended(stops=True))
    for search in asked:
        while not (kept := _all_done(tmp_path / "parts", search)):
            run_trials(search, tmp_path / "parts", never)
    assert kept == whole
    if sampler is Sampler.RANDOM:  # a trial's draw follows from the seed and its number alone
        assert _Study(asked[1]).ask(9, None).params == whole[9].values


def _all_done(folder, search):
    kept = kept_trials(folder, search)
    return kept if len(kept) == search.trials and all(trial.done for trial in kept.values()) else None


def test_what_optuna_is_told_is_what_the_folder_says():
    pytest.importorskip("optuna")
    study = _Study(Search(BASE, SPACE, Metric("bits_per_dim"), pruner=Pruner.MEDIAN))
    values = {PEAK: 1e-3, "data.batch_size": 16, "task.network.cell": "GRU"}
    ends = [Trial(values, figure=2.0, reported={"1": 3.0, "2": 2.5}), Trial(values, pruned=True, reported={"1": 9.0})]
    for number, trial in enumerate(ends):
        study.add(number, trial)
    told_of = study._study.trials
    assert [trial.state.name for trial in told_of] == ["COMPLETE", "PRUNED"] and study._study.best_value == 2.0
    assert told_of[0].intermediate_values == {1: 3.0, 2: 2.5} and told_of[1].params == values
    again = study.ask(2, values)
    assert again.params == values
    study.tell(again, Trial(values, failed="no room"))
    assert study._study.trials[2].state.name == "FAIL"
    drawn = study.ask(3, None).params
    assert 1e-4 <= drawn[PEAK] <= 1e-1 and 8 <= drawn["data.batch_size"] <= 32
    assert isinstance(drawn["data.batch_size"], int)


@pytest.mark.parametrize("steps", [3, 4])
def test_a_trial_behind_that_has_taken_all_its_steps_has_a_figure(steps, tmp_path, monkeypatch):
    def trained(experiment, folder, early, shared):
        early.ended = True
        return steps

    pytest.importorskip("optuna")
    monkeypatch.setattr(ablating, "train_run", trained)
    monkeypatch.setattr(searching, "evaluate_run", lambda *of, **how: {"x": 2.0})
    search = Search(BASE, SPACE, Metric("x"), budget=Steps(4), pruner=Pruner.MEDIAN)
    trial = searching._run(search, tmp_path, 0, _Study(search).ask(0, None), never, None)
    assert (trial.figure, trial.pruned, trial.steps) == ((2.0, False, 4) if steps == 4 else (None, True, 3))


def test_the_last_evaluation_ends_no_trial():
    behind = SimpleNamespace(report=lambda value, step: None, should_prune=lambda: True)
    assert not _Pruning(behind, Metric("x"), 4, {}).ends({4: 1.0}, ())
    assert _Pruning(behind, Metric("x"), 4, {}).ends({2: 1.0, 4: 1.0}, ())  # those of a session before


def test_values_that_refuse_each_other_fail_their_trial_alone(tmp_path):
    pytest.importorskip("optuna")
    space = {"task.network.width": (8, 12), "task.network.heads": (2, 3)}
    search = Search(load_experiment("transformer/digits", Experiment), space, Metric("x"))
    asked = _Study(search).ask(0, {"task.network.width": 8, "task.network.heads": 3})
    trial = searching._run(search, tmp_path, 0, asked, never, None)
    assert trial.failed.startswith("the space's task.network.width=8 task.network.heads=3") and not trial.done


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
    Search(BASE, {PEAK: Range(1.0, 2.0)}, Metric("x"))
    Search(BASE, {"task.network.width": Range(8, 16)}, Metric("x"))


def test_mistakes_are_told(tmp_path, monkeypatch):
    for ends in ((2, 1), (0.0, 1.0, True), ("8", 16), (0.0, float("inf"))):
        with pytest.raises(UserError, match="give a low"):
            Range(*ends)
    asked = "search", "--config", written(tmp_path), "--workdir", tmp_path / "runs"
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "needs the package optuna; run `pip install 'jaxgen[optuna]'`" in told(here(*asked))
    written(tmp_path, metric="bits")
    assert "holds another search, whose metric is another" in told(here(*asked))
    (tmp_path / "runs/search.json").rename(tmp_path / "runs/members.json")
    assert "runs holds the runs of an ablation; give another --workdir" in told(here(*asked))


@pytest.mark.parametrize("pruner", [", pruner=Pruner.MEDIAN", ""])
def test_a_figure_that_no_trial_has_ends_the_search_at_its_first(pruner, tmp_path):
    pytest.importorskip("optuna")
    file = written(tmp_path, metric="bits_per_charcter")
    file.write_text(file.read_text().replace(", pruner=Pruner.MEDIAN", pruner))
    process = here("search", "--config", file, "--workdir", tmp_path / "runs")
    assert process.returncode == 2 and "did you mean 'bits_per_character'" in process.stderr
    assert [trial["failed"] for trial in trials_of(tmp_path)] == [None]
