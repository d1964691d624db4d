"""Trackers are told what metrics.jsonl holds, each step once, by a run that is stopped, killed or rolled back too."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jaxgen.config.document import to_document
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.running.trackers import TRACKED, refuse_unusable
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.tracking import Trackio, WandB
from jaxgen.training.folder import METRICS
from jaxgen.training.optimisers import AdamW
from tests.worlds import Histogram

STEPS = 8


@dataclass(frozen=True)
class Lines:
    """A tracker of the user's own: a line a call in a file."""

    file: str
    fails_at: int | None = None
    takes_samples: bool = True

    def start(self, run):
        told = {"start": run.name, "id": run.id, "goes_on": run.goes_on, "steps": run.config["fields"]["steps"]}
        session = (_WithSamples if self.takes_samples else _Session)(Path(self.file), self.fails_at)
        session.write(told)
        return session


@dataclass
class _Session:
    file: Path
    fails_at: int | None

    def write(self, line):
        with open(self.file, "a") as file:
            file.write(json.dumps(line) + "\n")

    def log(self, step, metrics):
        if step == self.fails_at:
            raise OSError("its server is gone\nand more of it")
        self.write({"step": step, **metrics})

    def finish(self):
        self.write({"finish": True})


class _WithSamples(_Session):
    def samples(self, step, file):
        self.write({"step": step, "samples": file.name, "there": file.is_file()})


def experiment(*trackers, steps=STEPS, checkpoint=4) -> Experiment:
    every = Every(log=2, evaluate=4, sample=4, checkpoint=checkpoint)
    how = {"steps": steps, "steps_per_call": 1, "every": every, "trackers": trackers}
    return Experiment(Histogram(), Pictures(batch_size=16), {"histogram": AdamW()}, **how)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tagged(run: Path) -> list[tuple[int, dict]]:
    """metrics.jsonl as a tracker is told it."""
    found = [dict(line) for line in lines(run / METRICS)]
    return [
        (line.pop("step"), {f"{name}/{split}": value for name, value in line.items()})
        for line in found
        for split in [line.pop("split")]
    ]


def told(file: Path) -> list[tuple[int, dict]]:
    """The metrics that a tracker was told."""
    found = [line for line in lines(file) if "step" in line and "samples" not in line]
    return [(line.pop("step"), line) for line in found]


def stopper(calls: int):
    """A stop that is asked for after so many calls."""
    asked = []
    return lambda: asked.append(1) or len(asked) > calls


def by_step(found: list[tuple[int, dict]]) -> list[tuple[int, dict]]:
    return sorted(found, key=lambda pair: (pair[0], sorted(pair[1])))


def test_a_tracker_is_told_what_the_run_writes(tmp_path):
    file, run = tmp_path / "lines", tmp_path / "run"
    train_run(experiment(Lines(str(file))), run, lambda: False)
    first, *middle, last = lines(file)
    assert first == {"start": "run", "id": first["id"], "goes_on": False, "steps": STEPS} and last == {"finish": True}
    assert by_step(told(file)) == by_step(tagged(run)) and len(told(file)) == 4 + 2
    steps = [line["step"] for line in middle]
    assert steps == sorted(steps)
    shown = [line for line in middle if "samples" in line]
    assert shown == [{"step": step, "samples": f"{step}.png", "there": True} for step in (4, 8)]
    train_run(experiment(Lines(str(file))), run, lambda: False)  # nothing is left to do, and nothing is opened
    assert lines(file)[-1] == last and len(lines(file)) == len(middle) + 2


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_run_that_goes_on_tells_no_step_twice(tmp_path, killed):
    """Killed, it falls back to the checkpoint of step 4, and its trackers know step 6 already."""
    whole, file, run = tmp_path / "whole", tmp_path / "lines", tmp_path / "run"
    train_run(experiment(), whole, lambda: False)
    how = experiment(Lines(str(file)))
    if killed:
        dying = dataclasses.replace(how, trackers=(*how.trackers, Dying(7)))
        with pytest.raises(Killed):
            train_run(dataclasses.replace(dying, every=dataclasses.replace(how.every, log=1)), run, lambda: False)
        newest = max(step for step, _ in told(file))
        assert newest == 7
    else:
        train_run(how, run, stopper(5))
        assert max(step for step, _ in told(file)) < STEPS
    every = dataclasses.replace(how.every, log=1 if killed else 2)
    train_run(dataclasses.replace(how, every=every), run, lambda: False)
    starts = [line for line in lines(file) if "start" in line]
    assert [start["goes_on"] for start in starts] == [False, True] and starts[0]["id"] == starts[1]["id"]
    steps = [(step, frozenset(metrics)) for step, metrics in told(file)]
    assert len(steps) == len(set(steps))
    if not killed:  # the very figures of the run that was not stopped
        assert by_step(told(file)) == by_step(tagged(whole))
    assert {step for step, _ in told(file)} >= {4, 8}


class Killed(BaseException):
    """The end of a process, as far as a test of one process can have it."""


@dataclass(frozen=True)
class Dying:
    """A tracker that ends the run in the middle of telling a step."""

    at: int

    def start(self, run):
        return self

    def log(self, step, metrics):
        if step == self.at:
            raise Killed

    def finish(self): ...


def test_a_tracker_that_fails_is_left_behind_and_told(tmp_path, capsys):
    files = [tmp_path / "bad", tmp_path / "good"]
    how = experiment(Lines(str(files[0]), fails_at=4), Lines(str(files[1]), takes_samples=False))
    assert train_run(how, tmp_path / "run", lambda: False) == STEPS
    said = [line for line in capsys.readouterr().err.splitlines() if "tracker" in line]
    assert said == ["jaxgen: the tracker Lines has failed (OSError: its server is gone); the run goes on without it"]
    assert max(step for step, _ in told(files[0])) < 4 and by_step(told(files[1])) == by_step(tagged(tmp_path / "run"))
    assert not any("samples" in line for line in lines(files[1])) and lines(files[1])[-1] == {"finish": True}


@dataclass(frozen=True)
class Refusing:
    def start(self, run):
        raise ValueError("no such project")


def test_a_tracker_that_cannot_be_started_ends_the_run_before_it_is_trained(tmp_path):
    with pytest.raises(UserError, match=r"the tracker Refusing cannot be started \(ValueError: no such project\)"):
        train_run(experiment(Refusing()), tmp_path / "run", lambda: False)
    assert not (tmp_path / "run" / METRICS).exists()


def test_what_is_no_tracker_and_what_is_not_installed_is_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"trackers holds a AdamW, which has no method start"):
        train_run(experiment(AdamW()), tmp_path / "run", lambda: False)
    assert not (tmp_path / "run").exists()

    @dataclass(frozen=True)
    class Absent(Refusing):
        package = "no_such_package"

    with pytest.raises(UserError, match=r"Absent needs the package no_such_package; run pip install 'jaxgen\["):
        refuse_unusable([Absent()])


def test_trackers_are_no_part_of_what_is_computed(tmp_path):
    run, own = tmp_path / "run", experiment(Lines(str(tmp_path / "lines")))
    assert to_document(own) == to_document(experiment())
    assert "trackers" not in to_document(own)["fields"]
    train_run(own, run, lambda: False)
    other = dataclasses.replace(experiment(Lines(str(tmp_path / "other"))), steps=STEPS + 2)
    assert train_run(other, run, lambda: False) == STEPS + 2  # which another experiment would be refused
    assert not load_trained(run, experiment(), print).assembly.experiment.trackers
    assert set(json.loads((run / TRACKED).read_text())["told"]) == {"Lines"}


def test_a_damaged_note_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / TRACKED).write_text("[]")
    with pytest.raises(UserError, match=r"tracked\.json is damaged"):
        train_run(experiment(Lines(str(tmp_path / "lines"))), tmp_path / "run", lambda: False)


def test_no_tracker_is_imported_unless_a_run_starts_it():
    assert not {"wandb", "trackio"} & {name for name in sys.modules if "." not in name} or _was_used
    assert (WandB("x").package, Trackio("x").package) == ("wandb", "trackio")


_was_used: list[str] = []  # the packages that tests of this process have started


def test_wandb_offline_keeps_each_step_once(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    _was_used.append("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")  # which the tracker's own mode goes before
    run = tmp_path / "run"
    how = experiment(WandB("trial", tags=("test",)))
    train_run(how, run, stopper(5))
    train_run(how, run, lambda: False)
    rows = wandb_rows(sorted((run / "wandb").glob("offline-run-*")))
    assert len(list((run / "wandb").glob("offline-run-*"))) == 2 and wandb.run is None
    expected: dict[int, dict] = {}
    for step, metrics in tagged(run):
        expected.setdefault(step, {}).update(metrics)
    numbers = [
        (row["_step"], {name: value for name, value in row.items() if name.endswith(("/train", "/test"))})
        for row in rows
    ]
    merged: dict[int, dict] = {}
    for step, metrics in numbers:
        assert not set(metrics) & set(merged.get(step, {}))
        merged.setdefault(step, {}).update(metrics)
    assert merged.keys() == expected.keys()
    for step, metrics in expected.items():
        assert merged[step] == pytest.approx(metrics, rel=1e-6)
    assert [row["_step"] for row in rows if any(name.startswith("samples") for name in row)] == [4, 8]


def wandb_rows(folders: list[Path]) -> list[dict]:
    """The history of offline runs, read from the files that `wandb sync` sends."""
    from wandb.proto import wandb_internal_pb2

    rows = []
    for folder in folders:
        for data in wandb_records(next(folder.glob("*.wandb")).read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
                rows.append({**row, "_step": record.history.step.num})
    return rows


def wandb_records(data: bytes):
    """The records of a file in LevelDB's log format, after W&B's header of seven bytes."""
    place, whole = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768  # of this block, whose end holds no header
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last of several parts
            yield whole
            whole = b""


def test_trackio_keeps_each_step_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # which it reads when it is imported, here
    pytest.importorskip("trackio")
    _was_used.append("trackio")
    from trackio import sqlite_storage

    run = tmp_path / "run"
    how = experiment(Trackio("trial"))
    train_run(how, run, stopper(5))
    train_run(how, run, lambda: False)
    assert capsys.readouterr().out == ""  # stdout is for results
    identity = json.loads((run / TRACKED).read_text())["id"]
    rows = sqlite_storage.SQLiteStorage.get_logs("trial", f"run-{identity[:4]}")
    found: dict[int, dict] = {}
    for row in rows:
        numbers = {name: value for name, value in row.items() if name.endswith(("/train", "/test"))}
        assert not set(numbers) & set(found.get(row["step"], {}))
        found.setdefault(row["step"], {}).update(numbers)
    expected: dict[int, dict] = {}
    for step, metrics in tagged(run):
        expected.setdefault(step, {}).update(metrics)
    assert found.keys() == expected.keys()
    assert all(found[step] == pytest.approx(expected[step], rel=1e-6) for step in expected)
    assert sum("samples" in row for row in rows) == 2 and all(math.isfinite(step) for step in found)
