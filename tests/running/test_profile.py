"""A traced run computes what it would anyway, and its trace is one that the tools open."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import json

import pytest

from jaxgen.commands.train import train
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.running.command_line import Changes
from jaxgen.running.train_run import train_run
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from tests.commands.test_resume import end_of
from tests.worlds import Histogram


def experiment(steps: int) -> Experiment:
    """Calls of two steps."""
    data, adam, often = Pictures(batch_size=16), {"histogram": AdamW()}, Every(steps, steps, steps, steps)
    return Experiment(Histogram(), data, adam, steps, steps_per_call=2, every=often, parallel=Parallel(data=1))


def test_whole_calls_are_traced_after_the_first_and_the_run_ends_in_the_same_bytes(tmp_path, capsys):
    train_run(experiment(12), tmp_path / "plain", lambda: False)
    train_run(experiment(12), tmp_path / "traced", lambda: False, profile=3)
    assert "a trace of 4 steps is in" in capsys.readouterr().err
    assert end_of(tmp_path / "traced") == end_of(tmp_path / "plain")
    assert not (tmp_path / "plain" / "profile").exists()
    (folder,) = (tmp_path / "traced" / "profile" / "plugins" / "profile").iterdir()  # where TensorBoard looks
    assert len(list(folder.glob("*.xplane.pb"))) == 1
    with gzip.open(folder / "perfetto_trace.json.gz") as file:
        events = json.load(file)["traceEvents"]
    steps = [event for event in events if event.get("name", "").startswith("train") and event.get("ph") == "X"]
    assert len(steps) == 2, "two calls of two steps"
    assert any("(run)" in event.get("name", "") for event in events), "the program is named"


def test_a_run_that_ends_early_ends_its_trace(tmp_path, capsys):
    train_run(experiment(6), tmp_path / "short", lambda: False, profile=1000)
    assert "a trace of 4 steps is in" in capsys.readouterr().err
    train_run(experiment(2), tmp_path / "shorter", lambda: False, profile=1)
    assert "no step was traced" in capsys.readouterr().err


def test_no_negative_number_of_steps_is_traced(tmp_path):
    with pytest.raises(UserError, match="--profile is -1"):
        train("configs/rnn/digits.py", str(tmp_path / "run"), Changes(), 0.0, -1)
