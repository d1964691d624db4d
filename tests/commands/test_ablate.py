"""`jaxgen ablate` trains and measures each member once, tells what failed, and what it tells is what the runs say."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from jaxgen.ablation import Ablation, Metric
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.metrics.effects import effect
from jaxgen.running import ablating
from jaxgen.running.evaluate_run import CONTEXT, evaluate_run
from tests.commands.command import begin, here, jaxgen, told

FILE = '''"""Does a wider network need fewer bits?"""
from jaxgen.ablation import Ablation, Metric, Steps
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment

SMALL = ["data.batch_size=4", "data.length=16", "evaluate.examples=8"]


def ablation() -> Ablation:
    base = set_fields(load_experiment("rnn/python_docs", Experiment), SMALL)
    axes = {AXES}
    return Ablation(base, axes, (Metric("METRIC"),), Steps(2))
'''


def written(folder, axes='"task.network.width": (8, 12), "seed": range(2)', metric="bits_per_character"):
    file = folder / "run.py"
    file.write_text(FILE.replace("AXES", axes).replace("METRIC", metric))
    return file


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    asked = "ablate", "--config", written(folder), "--workdir", folder / "runs", "--processes", "1"
    return asked, here(*asked), folder / "runs"


def test_it_tells_what_its_runs_say(ended):
    _, process, runs = ended
    assert process.returncode == 0, process.stderr
    bits = {
        (width, seed): json.loads((runs / f"members/width={width},seed={seed}/summary.json").read_text())[
            "bits_per_character"
        ]
        for width in (8, 12)
        for seed in (0, 1)
    }
    results = json.loads((runs / "results.json").read_text())
    for width, row in zip((8, 12), results["configurations"], strict=True):
        assert row["figures"]["bits_per_character"]["mean"] == pytest.approx((bits[width, 0] + bits[width, 1]) / 2)
        assert row["steps"] == 2
    (change,) = results["changes"]
    expected = effect([bits[8, 0], bits[8, 1]], [bits[12, 0], bits[12, 1]])
    assert change["effect"]["difference"]["mean"] == pytest.approx(expected.difference.mean)
    assert change["p"] == pytest.approx(expected.p)
    assert "| width 12 over 8 | bits_per_character |" in process.stdout
    page = (runs / "ablation.html").read_text()
    assert "Does a wider network need fewer bits?" in page and "width 12 over 8" in page
    best = min((8, 12), key=lambda width: bits[width, 0] + bits[width, 1])
    assert load_experiment(runs / "best.py", Experiment).task.network.width == best


def test_runs_of_one_vmapped_program_tell_the_same_table(ended, tmp_path):
    asked = "ablate", "--config", written(tmp_path), "--workdir", tmp_path / "runs", "--processes", "1"
    process = here(*asked, "--together", "2")
    assert "2 runs side by side: width=12,seed=0, width=12,seed=1" in process.stderr, process.stderr
    ours, theirs = (json.loads((runs / "results.json").read_text()) for runs in (tmp_path / "runs", ended[2]))
    for one, other in zip(ours["configurations"], theirs["configurations"], strict=True):
        bits = (row["figures"]["bits_per_character"]["mean"] for row in (one, other))
        assert next(bits) == pytest.approx(next(bits), rel=1e-5)


def test_what_is_done_is_not_done_again_and_the_table_is_the_same(ended):
    asked, process, runs = ended
    before = {path: path.stat().st_mtime_ns for path in (runs / "members").rglob("metrics.jsonl")}
    assert here(*asked).stdout == process.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (runs / "members").rglob("metrics.jsonl")}


def test_a_member_s_seconds_are_of_all_its_sessions(ended):
    """Of two sessions the first of which has trained it, and the second, with nothing left to train, measures it."""
    asked, _, runs = ended
    outcome = runs / "outcomes" / "width=8,seed=0.json"
    outcome.unlink()
    assert here(*asked).returncode == 0
    spent = json.loads((runs / "members/width=8,seed=0/summary.json").read_text())["spent"]
    assert json.loads(outcome.read_text())["seconds"] > sum(spent.values()) > 0


def test_another_question_in_the_same_folder_is_refused(ended, tmp_path):
    _, _, runs = ended
    file = written(tmp_path)
    file.write_text(file.read_text().replace("data.length=16", "data.length=20"))
    sentence = told(here("ablate", "--config", file, "--workdir", runs))
    assert sentence.endswith("has other settings (data.length: 16 -> 20); give another --workdir")
    assert sentence == told(here("ablate", "--config", file, "--workdir", runs, "--script", tmp_path / "array.sh"))


def test_a_member_that_fails_is_told_and_the_others_end(tmp_path):
    """Of one whose data are not there."""
    axes = '"data": {"none": ["data.name=/no/such/file.txt"], "docs": []}'
    asked = "ablate", "--config", written(tmp_path, axes), "--workdir", tmp_path / "runs", "--processes", "1"
    process = here(*asked)
    assert process.returncode == 1
    assert "data=none failed: " in process.stderr and "/no/such/file.txt" in process.stderr
    assert here(*asked[:-2], "--member", "data=docs", "--member", "data=none").returncode == 1
    none, docs = json.loads((tmp_path / "runs/results.json").read_text())["configurations"]
    assert docs["figures"]["bits_per_character"]["count"] == 1 and docs["failed"] == []
    assert none["figures"] == {} and len(none["failed"]) == 1


def test_a_metric_that_no_member_has_is_told_after_the_first(tmp_path):
    file = written(tmp_path, metric="bits_per_charakter")
    sentence = here("ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "1").stderr
    assert "no member has a figure 'bits_per_charakter'; did you mean 'bits_per_character'?" in sentence
    assert len(list((tmp_path / "runs/outcomes").iterdir())) == 1


def test_equal_time_is_as_many_steps_for_every_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(ablating, "_LONG_ENOUGH", 0.01)
    file = written(tmp_path, '"task.network.width": (8, 64), "seed": range(2)')
    file.write_text(file.read_text().replace("Steps(2)", "Seconds(0.05)").replace("Metric, Steps", "Metric, Seconds"))
    asked = "ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "1"
    assert here(*asked).returncode == 0
    for row in json.loads((tmp_path / "runs/results.json").read_text())["configurations"]:
        pace = json.loads((tmp_path / f"runs/paces/width={row['levels']['task.network.width']}.json").read_text())
        assert row["steps"] == max(1, math.floor(0.05 / pace["seconds_per_step"]))
        assert row["figures"]["bits_per_character"]["count"] == 2
    assert len(list((tmp_path / "runs/paces").iterdir())) == 2  # nothing of the measuring is left


def test_members_that_are_trained_alike_are_measured_on_one_run(tmp_path):
    file = written(tmp_path, '"evaluate.examples": (8, 4), "seed": range(2)')
    process = here("ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "2")
    assert process.returncode == 0, process.stderr
    folders = {folder.name for folder in (tmp_path / "runs" / "members").iterdir()}
    assert folders == {"examples=8,seed=0", "examples=8,seed=1"}
    for seed, examples in itertools.product((0, 1), (8, 4)):
        outcome = json.loads((tmp_path / f"runs/outcomes/examples={examples},seed={seed}.json").read_text())
        run = tmp_path / f"runs/members/examples=8,seed={seed}"
        figures = evaluate_run(run, settings=[f"evaluate.examples={examples}"])
        assert figures["examples"] == examples and not set(CONTEXT) & outcome["figures"].keys()
        assert outcome["figures"]["bits_per_character"] == figures["bits_per_character"] and outcome["steps"] == 2
    results = json.loads((tmp_path / "runs" / "results.json").read_text())
    means = [row["figures"]["bits_per_character"]["mean"] for row in results["configurations"]]
    assert means[0] != means[1]
    best = load_experiment(tmp_path / "runs" / "best.py", Experiment)
    assert best.evaluate.examples == (8, 4)[means.index(min(means))]

    # a run that was ended early is not trained further by those that are measured on it later
    first, second = (tmp_path / f"runs/outcomes/examples={examples},seed=0.json" for examples in (8, 4))
    first.write_text(json.dumps(json.loads(first.read_text()) | {"steps": 1, "early": True}))
    second.unlink()
    log = tmp_path / "runs/members/examples=8,seed=0/metrics.jsonl"
    before = log.stat().st_mtime_ns
    assert here("ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "1").returncode == 0
    again = json.loads(second.read_text())
    assert (again["steps"], again["early"]) == (1, True) and log.stat().st_mtime_ns == before


@pytest.mark.parametrize(("field", "alike"), [("", True), ("best=Best best.metric=loss", False)])
def test_a_run_that_its_figures_choose_is_trained_for_each_member(field, alike):
    base = set_fields(load_experiment("rnn/python_docs", Experiment), field.split())
    members = Ablation(base, {"evaluate.examples": (8, 4)}, (Metric("loss"),)).members
    runs = ablating.trained_runs(members)
    assert (len({run.name for run in runs.values()}) == 1) is alike


def test_a_run_that_has_taken_all_of_its_steps_is_not_ended_early(tmp_path):
    """It is judged at its last evaluation, where nothing is saved by ending it."""
    file = written(tmp_path, '"seed": range(3)')
    text = file.read_text().replace("Steps(2))", "Steps(2), early=MedianStopping(among=1))")
    text = text.replace("SMALL = [", 'SMALL = ["every.evaluate=2", ')
    file.write_text("from jaxgen.early_stopping import MedianStopping\n" + text)
    process = here("ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "1")
    assert process.returncode == 0 and "ended" not in process.stdout, process.stderr
    assert "stands behind" not in process.stderr


def test_a_run_whose_budget_cannot_be_counted_does_not_end_those_trained_side_by_side(tmp_path):
    file = written(tmp_path, '"data": {"none": ["data.name=/no/such/file.txt"], "docs": []}, "seed": range(2)')
    file.write_text(file.read_text().replace("Steps", "Elements").replace("Elements(2)", "Elements(128)"))
    asked = "ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "1", "--together", "2"
    process = here(*asked)
    assert process.returncode == 1 and "2 runs side by side: data=docs,seed=0, data=docs,seed=1" in process.stderr
    assert "data=none,seed=0 failed: " in process.stderr and "| data docs |" in process.stdout


def test_the_time_left_knows_that_some_members_are_only_measured():
    def outcome(seconds):
        return ablating.Outcome({"train_seconds": 90.0}, 1, seconds)

    left, own = ("b", "c", "d"), {"a", "c"}
    assert ablating.seconds_left({"a": outcome(100.0)}, left, own) == 10 + 100 + 10
    assert ablating.seconds_left({"a": outcome(100.0), "b": outcome(4.0)}, left[1:], own) == 100 + 4


def test_a_run_that_stands_behind_the_others_is_ended_and_told(tmp_path):
    """With a rate of almost nothing the third network stays as it was drawn."""
    rates = (0.01, 0.02, 1e-9)
    file = written(tmp_path, f'"optimisers.likelihood.learning_rate.peak": {rates}')
    text = file.read_text().replace("Steps(2))", "Steps(90), early=MedianStopping(among=2))")
    text = text.replace(
        "SMALL = [", 'SMALL = ["every.evaluate=30", "averages.slow.half_life=10", "task.network.width=16", '
    )
    file.write_text("from jaxgen.early_stopping import MedianStopping\n" + text)
    asked = "ablate", "--config", file, "--workdir", tmp_path / "runs", "--processes", "1"
    process = here(*asked)
    assert process.returncode == 0, process.stderr
    outcomes = [json.loads((tmp_path / f"runs/outcomes/peak={rate}.json").read_text()) for rate in rates]
    assert [outcome["early"] for outcome in outcomes] == [False, False, True]
    assert [outcome["steps"] for outcome in outcomes[:2]] == [90, 90] and 30 <= outcomes[2]["steps"] < 90
    assert "peak=1e-09 stands behind the others" in process.stderr and "| 1, 1 ended early |" in process.stdout
    assert here(*asked).stdout == process.stdout


def test_a_slurm_array_has_a_job_for_each_member(tmp_path):
    """The script is run here as SLURM would run its job number 3, with a command that says what it was given.

    The command ends as one that was stopped and has saved, which is to be run again.
    """
    script = tmp_path / "array.sh"
    asked = "ablate", "--config", written(tmp_path), "--workdir", tmp_path / "runs", "--script", script
    assert here(*asked).returncode == 0 and not (tmp_path / "runs").exists()
    assert "#SBATCH --array=0-3\n" in script.read_text()
    commands = {"jaxgen": 'printf "%s\\n" "$@"; exit 143', "srun": 'exec "$@"', "scontrol": 'echo "$@"'}
    for name, does in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "7"}
    process = subprocess.run([shutil.which("bash"), script], env=environment, capture_output=True, text=True)
    assert process.stdout.splitlines()[-2:] == ["width=12,seed=1", "requeue 7_3"], process.stderr
    assert process.returncode == 143
    assert "is there already; give another --script" in told(here(*asked))


def test_mistakes_are_told(tmp_path):
    file = written(tmp_path)
    asked = "ablate", "--config", file, "--workdir", tmp_path / "runs"
    assert "did you mean 'width=8,seed=0'" in told(here(*asked, "--member", "width=8,sed=0"))
    assert "--processes is 0; give at least 1" in told(here(*asked, "--processes", "0"))
    assert "--together is 0; give at least 1" in told(here(*asked, "--together", "0"))
    member = "--member", "width=8,seed=0"
    assert "--processes is not for --member" in told(here(*asked, *member, "--processes", "2"))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/search.json").touch()
    assert "runs holds the trials of a search; give another --workdir" in told(here(*asked))
    assert "--workdir is empty; name a folder" in told(here("ablate", "--config", file, "--workdir", ""))
    file.write_text(file.read_text().replace("def ablation", "def ablations"))
    assert "has no function ablation() that returns an Ablation; did you mean 'ablations'?" in told(here(*asked))


@pytest.mark.slow
def test_killed_ten_times_on_two_processes_it_tells_the_same_table(tmp_path):
    """Twelve members; each time SIGKILL for the command and its processes, at some moment of the first half minute."""
    asked = ["ablate", "--config", str(written(tmp_path, '"task.network.width": (8, 12), "seed": range(6)'))]
    whole = jaxgen(*asked, "--workdir", tmp_path / "whole", "--processes", "2")
    assert whole.returncode == 0, whole.stderr
    chance = random.Random(0)
    for _ in range(10):
        process = begin(*asked, "--workdir", str(tmp_path / "killed"), "--processes", "2", start_new_session=True)
        time.sleep(chance.uniform(3, 30))
        below = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        for pid in (process.pid, *map(int, below)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
    killed = jaxgen(*asked, "--workdir", tmp_path / "killed", "--processes", "2")
    assert killed.returncode == 0, killed.stderr
    figures = [
        [one["figures"] for one in json.loads((tmp_path / run / "results.json").read_text())["configurations"]]
        for run in ("whole", "killed")
    ]
    assert figures[0] == figures[1]
