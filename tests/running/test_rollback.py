"""A run that a stretch of batches spoils goes back and on; one that nothing helps stops and says why."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time

import pytest

from jaxgen.config.document import from_document, to_document
from jaxgen.core.start import Start
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.running.train_run import train_run
from jaxgen.training.guard import Guard
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from tests.commands.command import ROOT
from tests.commands.test_resume import end_of
from tests.worlds import PoisonedDuel, PoisonedPictures


def experiment(guard: Guard = Guard(patience=3), **poison) -> Experiment:
    """Twenty steps in calls of at most two, a checkpoint every five."""
    every = Every(log=5, evaluate=20, sample=20, checkpoint=5)
    adam = {name: AdamW(1e-2) for name in ("left", "right")}
    data = PoisonedPictures(batch_size=24, **poison)
    return Experiment(
        PoisonedDuel(), data, adam, 20, steps_per_call=2, every=every, guard=guard, parallel=Parallel(data=1)
    )


def train_lines(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == "train"]


def stop_after(calls: int):
    """A signal's stand-in: true from the given call on."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= calls


def test_a_healthy_run_says_nothing_of_its_guard(tmp_path):
    assert train_run(experiment(), tmp_path, lambda: False) == 20
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "skipped" not in text and "patience" not in text and "rollbacks" not in text


def test_a_few_skipped_updates_are_told_and_the_run_goes_on(tmp_path):
    assert train_run(experiment(first=6, last=6), tmp_path, lambda: False) == 20
    lines = train_lines(tmp_path)
    assert [line.get("left/skipped") for line in lines] == [None, 0.2, None, None]
    assert all(line["left/loss"] > 0 and "rollbacks" not in line for line in lines)


@pytest.mark.parametrize("first", [2, 7], ids=["no checkpoint yet", "a checkpoint of step 5"])
def test_a_poisoned_stretch_is_rolled_back_over_and_a_stop_in_it_changes_nothing(first, tmp_path, capsys):
    """The poison follows the source's key, which the rollback changes; stops save at other steps than the schedule."""
    poisoned = experiment(first=first, last=100)
    assert train_run(poisoned, tmp_path / "whole", lambda: False) == 20
    assert "rollback 1 of 3" in capsys.readouterr().err
    lines = train_lines(tmp_path / "whole")
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert [line.get("rollbacks") for line in lines] == [1 if step > first else None for step in (5, 10, 15, 20)]
    assert all(line["left/loss"] > 0 and "left/skipped" not in line for line in lines)
    for calls in (5, 3, 2):
        train_run(poisoned, tmp_path / "stopped", stop_after(calls))
    assert train_run(poisoned, tmp_path / "stopped", lambda: False) == 20
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")


CHILD = """
import sys
from pathlib import Path
from jaxgen.running.train_run import train_run
from tests.running.test_rollback import experiment
assert train_run(experiment(first=7, last=100), Path(sys.argv[1]), lambda: False) == 20
"""


def child(folder) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.slow
def test_killed_in_and_after_a_rollback_it_ends_the_same(tmp_path):
    process = child(tmp_path / "whole")
    assert process.communicate(timeout=300)[1].count("rollback 1 of 3") == 1 and process.returncode == 0
    chance, met = random.Random(0), 0
    for wait in (0.0, 0.02, 0.1, 0.3):  # after it was told; the run is over in less than a second then
        process = child(tmp_path / "killed")
        for line in process.stderr:
            if "rollback 1 of 3" in line:
                met += 1
                break
        time.sleep(wait + chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
    assert met >= 2  # later ones may find it done
    process = child(tmp_path / "killed")
    process.communicate(timeout=300)
    assert process.returncode == 0 and end_of(tmp_path / "killed") == end_of(tmp_path / "whole")


def test_a_run_that_nothing_helps_stops_with_a_report_and_keeps_what_was_good(tmp_path):
    poisoned = experiment(Guard(patience=3, rollbacks=2), first=7, last=100, forever=True)
    for _ in range(2):  # asked again it says the same
        with pytest.raises(UserError) as error:
            train_run(poisoned, tmp_path, lambda: False)
        sentence = str(error.value)
        assert "'left' was not finite in 3 updates in a row up to step 9" in sentence
        assert "2 rollbacks did not help; the checkpoint of step 5 is whole" in sentence
        assert "optimisers.left.learning_rate" in sentence and (tmp_path / "stopped.txt").read_text() == sentence + "\n"
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["5"]


def test_an_experiment_from_before_there_was_a_guard_is_read_with_the_default():
    document = to_document(Experiment(AdamW(), AdamW(), {}, 1))
    del document["fields"]["guard"]
    assert from_document(document).guard == Guard()


def test_a_run_with_a_start_is_rolled_back_to_it(tmp_path, capsys):
    """Before its first regular checkpoint it has that of step 0, which is saved once."""
    assert train_run(experiment(), tmp_path / "start", lambda: False) == 20
    poisoned = dataclasses.replace(experiment(first=2, last=100), start=Start(str(tmp_path / "start")))
    assert train_run(poisoned, tmp_path / "run", lambda: False) == 20
    said = capsys.readouterr().err
    assert "rollback 1 of 3" in said and "going on from step 0" in said
    assert train_run(poisoned, tmp_path / "stopped", stop_after(17)) < 5  # in the poisoned stretch
    assert train_run(poisoned, tmp_path / "stopped", lambda: False) == 20
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "run")
