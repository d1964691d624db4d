"""`jaxgen autotune` measures an experiment in other processes, and `train --autotuned` takes what it has found."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import os
import statistics

import pytest

from jaxgen.autotuning import coordinate_search, pool
from jaxgen.autotuning.knobs import Candidate
from jaxgen.autotuning.pool import Failed, Pool
from jaxgen.config.changes import set_fields
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.running.command_line import Changes
from tests.commands.command import here, told

RNN = "configs/rnn/digits.py"
SMALL = ["task.network.width=8", "task.network.head=8", "task.network.cell=MIN_GRU", "data.batch_size=16"]


@pytest.fixture
def quick(monkeypatch):
    """Blocks of a call, and few of them: what is measured is not looked at here."""
    monkeypatch.setattr(pool, "_BLOCK", 0.0)
    monkeypatch.setattr(coordinate_search, "ROUNDS", 3)


@pytest.mark.slow
def test_what_is_found_is_trained_with_and_a_candidate_that_fails_is_a_row(tmp_path, quick):
    tuned, run = tmp_path / "tuned.json", tmp_path / "run"
    asked = ["--knobs", "steps_per_call", "--batch", "0", "--xla-flags=--xla_nonsense=3", "--seconds", "600"]
    process = here("autotune", "--config", RNN, "--set", *SMALL, "--out", tuned, *asked)
    assert process.returncode == 0, process.stderr
    held = json.loads(tuned.read_text())
    tried = {" ".join([*one["candidate"]["settings"], one["candidate"]["flags"]]).strip(): one for one in held["tried"]}
    seen = next(one for name, one in tried.items() if name.endswith("--xla_nonsense=3"))
    assert "its process ended with code" in seen["failed"] and "xla_nonsense" in seen["failed"]
    assert "give at least 1" in tried["data.batch_size=0"]["failed"]
    for one in (held["tried"][0], tried["steps_per_call=1"]):
        assert one["prepared"]["examples"] == 16 and one["prepared"]["compile_seconds"] > 0
        assert one["examples_per_second"] == pytest.approx(16 / statistics.median(one["seconds"]))
    experiment = set_fields(load_experiment(RNN, Experiment), SMALL)
    assert held["experiment"] == to_document(experiment) and len(held["config_sha256"]) == 64
    rows = [line for line in process.stdout.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(held["tried"]) and "examples/s" in rows[0]

    few = ["steps=2", "evaluate.examples=16", "every.sample=9"]
    process = here("train", "--config", RNN, "--set", *SMALL, *few, "--autotuned", tuned, "--workdir", run)
    assert process.returncode == 2 and "it was measured where" in process.stderr  # the suite's four devices
    machine = held["machine"] | {"devices": ["cpu"] * 4}
    tuned.write_text(json.dumps(held | {"settings": ["parallel.data=2", "steps_per_call=1"], "machine": machine}))
    process = here("train", "--config", RNN, "--set", *SMALL, *few, "--autotuned", tuned, "--workdir", run)
    assert process.returncode == 0, process.stderr
    assert "as if by --set" in process.stderr and "parallel.data=2 steps_per_call=1" in process.stderr
    expected = set_fields(experiment, [*few, "parallel.data=2", "steps_per_call=1"])
    assert json.loads((run / "experiment.json").read_text()) == to_document(expected)
    process = here("train", "--config", RNN, "--set", *SMALL, *few, "--workdir", run)  # without: as after any change
    assert process.returncode == 0 and "steps_per_call: 1 -> 20" in process.stderr


def test_a_process_that_dies_is_told_and_begun_again():
    with contextlib.closing(Pool(RNN, Changes(SMALL))) as workers:
        first, before = Candidate(), workers.facts()
        workers._processes[""]._process.kill()
        with pytest.raises(Failed, match="SIGKILL, as when memory runs out"):
            workers._processes[""].ask(first, "prepare", name="first", settings=[])
        assert workers.facts() == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--knobs", "remta"], "did you mean 'remat'"),
        (["--config", "configs/rnn/digts.py"], "configs/rnn/digits.py"),
        (["--set", "task.widht=3"], "has no field 'widht'"),
        (["--seconds", "0"], "--seconds is 0; give a number above 0"),
        (["--out", os.devnull], "is there already; give another --out"),
        (["--out", "no/such/folder/tuned.json"], "there is no folder"),
    ],
)
def test_a_mistake_is_told_before_anything_is_measured(tmp_path, options, sentence):
    usual = {"--config": RNN, "--out": tmp_path / "tuned.json"} | {options[0]: options[1]}
    assert sentence in told(here("autotune", *[word for pair in usual.items() for word in pair]))


def test_an_experiment_that_cannot_be_trained_here_is_told(tmp_path, monkeypatch):
    """An accelerator that is asked for and not there, for one."""
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    process = here("autotune", "--config", RNN, "--out", tmp_path / "tuned.json")
    assert "cannot be measured (as it is)" in told(process) and "tpu" in process.stderr.lower()
    assert not (tmp_path / "tuned.json").exists()
