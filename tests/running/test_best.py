"""The best checkpoint is kept beside the newest, whatever stops the run on its way."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.core.start import Start
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Evaluated, Every, Experiment, Patience
from jaxgen.running.train_run import train_run
from jaxgen.training.checkpoint import Best
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler
from tests.commands.test_resume import end_of
from tests.running.test_rollback import experiment, stop_after
from tests.running.test_trainer import small
from tests.worlds import Histogram

OFTEN = Every(log=5, evaluate=2, sample=20, checkpoint=4)


def choosing(best: Best) -> Experiment:
    """An evaluation at every second step, a checkpoint at every fourth; the newest is kept, and the best."""
    return dataclasses.replace(experiment(), every=OFTEN, keep=1, best=best)


def kept(folder) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize("lower", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_run_that_is_stopped_on_its_way_keeps_the_same_checkpoints(lower, tmp_path):
    """The best validation of the steps with a checkpoint, and the end; what a stop saved at others is not chosen."""
    choice = choosing(Best("nats_per_example", lower))
    assert train_run(choice, tmp_path / "whole", lambda: False) == 20
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["nats_per_example"] for line in lines if line["split"] == "validation"}
    assert sorted(losses) == list(range(2, 21, 2))
    best = (min if lower else max)(range(4, 21, 4), key=losses.get)
    assert kept(tmp_path / "whole") == sorted({best, 20})
    for calls in (0, 2, 1):
        train_run(choice, tmp_path / "stopped", stop_after(calls))
    assert train_run(choice, tmp_path / "stopped", lambda: False) == 20
    assert kept(tmp_path / "stopped") == kept(tmp_path / "whole")
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")


def test_a_metric_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"best.metric is 'nats_per_exmple', .*did you mean 'nats_per_example'"):
        train_run(choosing(Best("nats_per_exmple")), tmp_path, lambda: False)


@pytest.mark.slow
def test_a_measure_of_samples_can_choose(tmp_path):
    """Where samples are measured in training; the figures' names are known before."""
    metric, often, data = "kernel_distance[digits-cnn-a81e]", Every(log=10, evaluate=2, checkpoint=2), Pictures()
    choice = Experiment(Histogram(), data, {"histogram": AdamW(0.3)}, 6, steps_per_call=1, every=often, keep=1)
    choice = dataclasses.replace(choice, best=Best(metric), evaluate=Evaluated(8, samples=40))
    assert train_run(choice, tmp_path / "run", lambda: False) == 6
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    distances = {line["step"]: line[metric] for line in lines if line["split"] == "validation"}
    assert sorted(distances) == [2, 4, 6]
    assert kept(tmp_path / "run") == [min((2, 4), key=distances.get), 6]  # the last is saved before it is evaluated
    with pytest.raises(UserError, match="did you mean 'kernel_distance"):
        train_run(dataclasses.replace(choice, best=Best("kernel_distance")), tmp_path / "other", lambda: False)


@given(st.lists(st.floats(0, 10), max_size=12), st.integers(1, 4), st.booleans())
def test_patience_is_spent_when_the_best_lies_so_many_evaluations_back(values, evaluations, lower):
    signed = values if lower else [-value for value in values]
    since_best = len(values) - 1 - signed.index(min(signed)) if values else 0  # the first of equals
    spent = Patience("loss", evaluations, lower).spent(values)
    assert spent == (since_best >= evaluations and len(values) > evaluations)


def test_a_run_ends_where_validation_gets_no_better_and_looks_at_no_test_split(tmp_path, capsys):
    """Higher counts as better here, and this loss falls: the third evaluation after the first is the last."""
    patient = dataclasses.replace(experiment(), every=OFTEN, stop=Patience("nats_per_example", 3, lower=False))
    assert train_run(patient, tmp_path / "whole", lambda: False) == 8
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} == {"train", "validation"}
    assert "ended at step 8: 3 evaluations gave no better nats_per_example" in capsys.readouterr().err
    for _ in range(2):
        train_run(patient, tmp_path / "stopped", stop_after(2))
    assert train_run(patient, tmp_path / "stopped", lambda: False) == 8
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")
    assert train_run(patient, tmp_path / "whole", lambda: False) == 8  # and it stays ended


@pytest.mark.slow
def test_a_stop_in_the_look_at_a_start_is_made_up_for(tmp_path):
    """Its weights are saved before they are looked at; what was not seen then is seen when the run goes on."""
    start = dataclasses.replace(small("configs/rnn/digits.py", Compiler.JIT), steps=4)
    assert train_run(start, tmp_path / "start", lambda: False) == 4
    tuned = dataclasses.replace(start, start=Start(str(tmp_path / "start")))
    assert train_run(tuned, tmp_path / "whole", lambda: False) == 4
    assert train_run(tuned, tmp_path / "stopped", stop_after(0)) == 0
    assert kept(tmp_path / "stopped") == [0] and not (tmp_path / "stopped" / "metrics.jsonl").exists()
    assert train_run(tuned, tmp_path / "stopped", lambda: False) == 4
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")
    assert (tmp_path / "whole" / "samples" / "0.png").exists()
