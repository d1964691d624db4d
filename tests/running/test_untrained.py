"""A folder in which nothing was trained stands in nobody's way, and no file in it that is not jaxgen's is touched."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from pathlib import Path

import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import to_document
from jaxgen.data.text import Text
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.running.train_run import train_run
from jaxgen.training.checkpoint import Best
from jaxgen.training.folder import EXPERIMENT
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from tests.commands.test_resume import end_of
from tests.running.test_rollback import experiment


def mistaken() -> Experiment:
    """An experiment whose mistake is found only when its folder is there."""
    return dataclasses.replace(experiment(), best=Best("accurazy"))


def never() -> bool:
    return False


def mind(folder: Path, *names: str) -> dict[str, bytes]:
    """A user's own files, among jaxgen's."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")
    return {name: (folder / name).read_bytes() for name in names}


def test_a_refused_command_leaves_no_folder_that_it_made(tmp_path):
    folder = tmp_path / "runs" / "deep" / "run"
    with pytest.raises(UserError, match="accurazy"):
        train_run(mistaken(), folder, never)
    assert not (tmp_path / "runs").exists()
    assert train_run(experiment(), folder, never) == 20


def test_a_refused_command_leaves_a_folder_that_was_there_as_it_was(tmp_path):
    mine = mind(tmp_path / "run", "notes.txt", "samples/cat.png", "events/party.txt", "summary.json", "parts/a.txt")
    with pytest.raises(UserError, match="accurazy"):
        train_run(mistaken(), tmp_path / "run", never)
    found = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert found == set(mine)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in mine} == mine


def begun(folder: Path, first: Experiment) -> None:
    """What a process leaves that was killed before its first step: its experiment, its data, and an event."""
    with pytest.raises(ZeroDivisionError):
        train_run(first, folder, lambda: 1 / 0)
    for name in ("metrics.jsonl", "summary.json"):
        (folder / name).unlink(missing_ok=True)
    assert json.loads((folder / EXPERIMENT).read_text()) == to_document(first)


def test_another_experiment_takes_over_a_folder_in_which_nothing_was_trained(tmp_path, capsys):
    folder = tmp_path / "run"
    begun(folder, set_fields(experiment(), ["seed=5", "data.batch_size=12"]))
    mine = mind(folder, "notes.txt", "events/party.txt", "parts/a/b.txt", "samples/cat.txt")
    capsys.readouterr()
    assert train_run(experiment(), folder, never) == 20
    said = capsys.readouterr().err
    assert "nothing was trained in" in said and "seed: 5 -> 0" in said and "begun anew" in said
    assert {name: (folder / name).read_bytes() for name in mine} == mine
    for name in mine:
        (folder / name).unlink()
    assert train_run(experiment(), tmp_path / "fresh", never) == 20
    assert end_of(folder) == end_of(tmp_path / "fresh")
    assert json.loads((folder / EXPERIMENT).read_text()) == to_document(experiment())


@pytest.mark.parametrize(
    "trace", ["checkpoints/5/record/metadata", "damaged/checkpoint-5/x", "metrics.jsonl", "stopped.txt"]
)
def test_a_folder_with_any_trace_of_training_is_another_experiments(trace, tmp_path):
    folder = tmp_path / "run"
    begun(folder, experiment())
    mind(folder, trace)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="belongs to another experiment"):
        train_run(set_fields(experiment(), ["seed=5"]), folder, never)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reader(text: Path) -> Experiment:
    data = Text(name=str(text), batch_size=2, length=8)
    network = LanguageModel(RecurrentNetwork(width=8, embedding=4))
    return Experiment(network, data, {"likelihood": AdamW(1e-2)}, steps=2, parallel=Parallel(data=1))


def test_a_text_that_has_changed_before_anything_was_trained_is_taken(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("a dog and a log, a cat and a mat. " * 50)
    begun(tmp_path / "run", reader(text))
    text.write_text("quick zebras vex jumpy fowl. " * 50)
    assert train_run(reader(text), tmp_path / "run", never) == 2
    assert 'xyz"' in (tmp_path / "run" / "data.json").read_text(encoding="utf-8")


def test_a_run_that_ended_without_a_checkpoint_of_its_own_making_is_not_removed(tmp_path):
    """Trained for some steps, and then a disk that failed: its log stays."""
    folder = tmp_path / "run"
    asked = iter(range(100))

    def spoil() -> bool:
        if next(asked) == 3:
            (folder / "timing.jsonl").unlink()
            (folder / "timing.jsonl").mkdir()
        return False

    with pytest.raises(UserError, match="could not be written"):
        train_run(set_fields(experiment(), ["every.checkpoint=20", "every.log=2"]), folder, spoil)
    assert (folder / EXPERIMENT).exists() and (folder / "metrics.jsonl").read_text()


def test_another_programs_experiment_is_left_alone(tmp_path):
    mine = mind(tmp_path / "run", "data.json", "summary.json", "events/events.mine")
    (tmp_path / "run" / EXPERIMENT).write_text('{"title": "of another program"}')
    with pytest.raises(UserError, match="experiment"):
        train_run(experiment(), tmp_path / "run", never)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in mine} == mine
    assert (tmp_path / "run" / EXPERIMENT).read_text() == '{"title": "of another program"}'
