"""A file of `jaxgen autotune` is as good as --set of what it holds, on the machine and for the experiment it is of."""
# SPDX-License-Identifier: Apache-2.0

import json
import os

import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.autotuned import SCHEMA, told, use_xla_flags, with_autotuned

HERE = {"processor": "an abacus", "cores": 2, "backend": "cpu", "devices": ["cpu", "cpu"], "python": "3.11"}
SETTINGS = ["parallel.data=1", "steps_per_call=50", "task.network.remat=FULL"]


@pytest.fixture
def experiment():
    return load_experiment("transformer/digits", Experiment)


@pytest.fixture
def file(tmp_path, experiment):
    held = {"schema": SCHEMA, "settings": SETTINGS, "xla_flags": "", "machine": HERE}
    path = tmp_path / "tuned.json"
    path.write_text(json.dumps(held | {"experiment": to_document(experiment)}))
    return path


def changed(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return file


def test_it_is_as_if_they_had_been_set(experiment, file):
    expected = set_fields(experiment, SETTINGS)
    assert to_document(with_autotuned(experiment, file, HERE)) == to_document(expected)
    assert told(file) == f"as if by --set, from {file}: {' '.join(SETTINGS)}"
    assert "nothing is set" in told(changed(file, settings=[]))


@pytest.mark.parametrize(
    "untimed", ["seed=7", "steps=3000", "every.log=10", "keep=5", "optimisers.likelihood.learning_rate=0.1"]
)
def test_what_no_step_s_time_depends_on_may_be_another(experiment, file, untimed):
    other = set_fields(experiment, [untimed])
    assert with_autotuned(other, file, HERE) == set_fields(other, SETTINGS)


@pytest.mark.parametrize("timed", ["task.network.width=128", "data.batch_size=32", "steps_per_call=5", "accumulate=2"])
def test_another_experiment_is_refused(experiment, file, timed):
    with pytest.raises(UserError, match=f"of another experiment.*undo: {timed.split('=')[0]}: "):
        with_autotuned(set_fields(experiment, [timed]), file, HERE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("processor", "a slide rule"), ("cores", 4), ("backend", "gpu"), ("devices", ["cpu"]), ("devices", ["H200"])],
)
def test_another_machine_is_refused(experiment, file, name, value):
    with pytest.raises(UserError, match=f"measured where {name} is .* on this machine"):
        with_autotuned(experiment, file, HERE | {name: value})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("", "is no JSON"),
        ("[1]", "holds no settings"),
        ('{"type": "Experiment", "fields": {}}', "holds no settings"),
        ('{"schema": 0, "xla_flags": ""}', "is of schema 0"),
        ('{"schema": 1, "xla_flags": "", "settings": [1], "machine": {}, "experiment": {}}', "is damaged"),
        ('{"schema": 1, "xla_flags": "", "settings": "steps=1", "machine": {}, "experiment": {}}', "is damaged"),
    ],
)
def test_a_file_that_is_none_is_told(experiment, tmp_path, content, sentence):
    file = tmp_path / "tuned.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=sentence):
        with_autotuned(experiment, file, HERE)


def test_a_damaged_experiment_is_told(experiment, file):
    with pytest.raises(UserError, match=r"its experiment is damaged|of another experiment"):
        with_autotuned(experiment, changed(file, experiment={"type": "no.such.Thing", "fields": {}}), HERE)


def test_flags_come_after_the_user_s_own(file, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    use_xla_flags(file)
    use_xla_flags(changed(file, xla_flags="--xla_b=2"))
    assert os.environ["XLA_FLAGS"] == "--xla_a=1 --xla_b=2"
    assert told(file).endswith("XLA_FLAGS=--xla_b=2")
