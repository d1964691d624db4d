"""A disk that fails for a while is asked again, one that goes on failing is told; neither is damage, nothing moves."""
# SPDX-License-Identifier: Apache-2.0

import errno
import json
import os
import shutil
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest

from jaxgen import disk
from jaxgen.errors import UserError
from jaxgen.training.checkpoint import Best, Checkpoints
from jaxgen.training.checkpoint_files import reached, write_digests
from jaxgen.training.checkpoint_writing import WRITER
from jaxgen.training.digests import digest
from jaxgen.training.folder import evaluations, read_json
from tests.faults import PASSING, FailingDisk, within
from tests.training.test_checkpoint import RECORD, flip, restore, same, save, state_at


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save(folder, 1, 2)
    return folder


@pytest.fixture
def run(saved, tmp_path, monkeypatch) -> Path:
    """A run with the checkpoints of steps 1 and 2; nothing waits."""
    monkeypatch.setattr(disk, "WAITS", (0.0, 0.0, 0.0))
    return Path(shutil.copytree(saved, tmp_path / "run"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("number", PASSING, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/2/record", "checkpoints/2/state"])
def test_a_passing_error_of_the_disk_costs_nothing(run, place, number, monkeypatch):
    before, failing = content(run), FailingDisk(monkeypatch, within(run / place), number, times=2)
    (state, record), said = restore(run)
    assert failing.count == 2 or place == "checkpoints/2/state"  # TensorStore opens those, and not by Python
    assert same(state, state_at(2)) and record == RECORD and said == []
    monkeypatch.undo()
    assert content(run) == before


@pytest.mark.parametrize("keep", [3, None], ids=["to go on", "to look at"])
@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/2/record"])
def test_an_error_that_stays_is_told_and_moves_nothing(run, place, keep, monkeypatch):
    before = content(run)
    FailingDisk(monkeypatch, within(run / place), errno.EIO, times=float("inf"))
    with pytest.raises(UserError, match=r"cannot be read \(Input/output error\); nothing was changed"):
        restore(run, keep)
    monkeypatch.undo()
    assert content(run) == before


@pytest.mark.parametrize(
    ("message", "times", "sentence"),
    [
        ('UNKNOWN: Failed to open: "d/1c": Input/output error [tensorstore_spec]', 2, None),
        ('UNKNOWN: Failed to open: "d/1c": Stale file handle', 9, r"cannot be read \(Stale file handle\)"),
        (
            "FAILED_PRECONDITION: no reader for version 7",
            1,
            f"is as it was saved, but {WRITER} cannot read it .* version 7",
        ),
    ],
    ids=["passing", "lasting", "another version"],
)
def test_what_tensorstore_cannot_read_is_no_damage_where_the_digests_are_right(
    run, message, times, sentence, monkeypatch
):
    """A C++ library reads the arrays, which no error of Python's can reach: it is put where Orbax calls it."""
    real, left = ocp.PyTreeCheckpointHandler.restore, [times]

    def failing(*arguments, **options):
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError(message)
        return real(*arguments, **options)

    monkeypatch.setattr(ocp.PyTreeCheckpointHandler, "restore", failing)
    before = content(run)
    if sentence is None:
        (state, _), said = restore(run)
        assert same(state, state_at(2)) and said == []
    else:
        with pytest.raises(UserError, match=f"of step 2 {sentence}.*nothing was moved"):
            restore(run)
    assert content(run) == before


def test_files_in_a_format_that_orbax_does_not_know_are_told_by_name(run):
    """All files are as their digests say, and their content means nothing to this Orbax."""
    state = run / "checkpoints" / "2" / "state"
    (state / "manifest.ocdbt").write_bytes(b"a format of later years")
    write_digests(state, "Orbax 9.1")
    before = content(run)
    for keep in (3, None):
        with pytest.raises(UserError, match=r"step 2 is as it was saved, but .* Orbax 9.1 has written it: install"):
            restore(run, keep)
    assert content(run) == before


def test_without_a_list_of_digests_what_cannot_be_read_is_told_and_left(run):
    """A checkpoint from before there were such lists; one that says it has a list and lacks it is damaged."""
    place = run / "checkpoints" / "2"
    (place / "state" / "digests.json").unlink()
    (state, _), said = restore(shutil.copytree(run, run.parent / "readable"))
    assert same(state, state_at(2)) and said == []
    (place / "state" / "manifest.ocdbt").unlink()
    (state, _), said = restore(shutil.copytree(run, run.parent / "lacking"))
    assert same(state, state_at(1)) and "state/digests.json is missing" in said[0]
    record = json.loads((place / "record" / "metadata").read_text())
    older = {name: record[name] for name in ("record", "leaves")}
    (place / "record" / "metadata").write_text(json.dumps({**older, "sha256": digest(older)}))
    with pytest.raises(UserError, match=r"no digests of its files .* nothing was moved"):
        restore(run)
    assert place.is_dir() and not (run / "damaged").exists()


def test_a_damaged_file_is_named(run):
    flip(run / "checkpoints" / "2" / "state" / "manifest.ocdbt")
    (state, _), said = restore(run)
    assert same(state, state_at(1)) and "the bytes of state/manifest.ocdbt are not those that were saved" in said[0]


def test_a_best_checkpoint_is_not_forgotten_when_the_disk_fails(run, monkeypatch):
    """Its figure stands in metrics.jsonl: were that taken for empty, the next save would remove the checkpoint."""
    (run / "metrics.jsonl").write_text('{"step": 1, "split": "validation", "loss": 0.5}\n')
    FailingDisk(monkeypatch, within(run / "metrics.jsonl"), errno.ESTALE, times=float("inf"))
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
        Checkpoints(run, keep=1, best=Best("loss"))
    assert sorted(os.listdir(run / "checkpoints")) == ["1", "2"]


def test_a_run_s_own_files_and_its_newest_step_are_asked_for_again(run, monkeypatch):
    """A folder that cannot be listed is not one without checkpoints: the run would be begun anew over its log."""
    (run / "experiment.json").write_text('{"fields": {}}')
    (run / "metrics.jsonl").write_text('{"step": 2, "split": "test", "loss": 1.0}\n')
    reads = {
        "experiment.json": lambda: read_json(run / "experiment.json"),
        "metrics.jsonl": lambda: evaluations(run),
        "checkpoints": lambda: reached(run),
    }
    expected = {name: read() for name, read in reads.items()}
    assert expected["checkpoints"] == 2 and expected["metrics.jsonl"][2]["loss"] == 1.0
    for name, read in reads.items():
        with monkeypatch.context() as patch:
            FailingDisk(patch, within(run / name), errno.EIO, times=3)
            assert read() == expected[name]
        with monkeypatch.context() as patch:
            FailingDisk(patch, within(run / name), errno.EIO, times=4)
            with pytest.raises(UserError, match="cannot be read"):
                read()


def test_a_damaged_checkpoint_on_a_disk_that_may_only_be_read_is_told(run, monkeypatch):
    flip(run / "checkpoints" / "2" / "record" / "metadata")

    def refuse(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match=r"damaged and cannot be moved .*Read-only"):
        restore(run)


def test_a_list_of_digests_is_written_with_each_checkpoint(saved):
    for step in ("1", "2"):
        state = saved / "checkpoints" / step / "state"
        listed = json.loads((state / "digests.json").read_text())
        files = {str(path.relative_to(state)) for path in state.rglob("*") if path.is_file()} - {"digests.json"}
        marks = {"commit_success.txt"}  # Orbax's, when all else is written
        assert set(listed["files"]) == files - marks and listed["writer"] == WRITER


def test_shapes_asked_of_a_failing_disk(run, monkeypatch):
    FailingDisk(monkeypatch, within(run / "checkpoints" / "2" / "record"), errno.ETIMEDOUT, times=1)
    types = Checkpoints(run, keep=None).types()
    assert types["step"] == "int32[]" and jax.tree.leaves(types)
