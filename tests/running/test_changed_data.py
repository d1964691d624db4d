"""A run checks its own files before it begins, remembers that, and says what has changed when it goes on."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from jaxgen.core.data import Checked
from jaxgen.data import checking
from jaxgen.data.pairs import Pairs
from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.data.speech import Sounds
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.reporting.terminal import Work
from jaxgen.running.changed_data import CHECKED
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.resuming import CHANGES
from jaxgen.running.train_run import train_run
from jaxgen.training.folder import METRICS
from jaxgen.training.optimisers import AdamW
from tests.worlds import Histogram


def pictures(folder: Path, count: int = 12, classes: tuple[str, ...] = ("ants", "bees"), first: int = 0) -> Path:
    for number in range(first, first + count):
        file = folder / classes[number % len(classes)] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (number, 7 * number % 256, 9)).save(file)
    return folder


def experiment(folder: Path, steps: int = 2, **data) -> Experiment:
    return Experiment(
        Histogram(),
        Pictures(name=str(folder), batch_size=4, **data),
        {"histogram": AdamW(0.1)},
        steps=steps,
        every=Every(log=1, evaluate=10**6, sample=10**6, checkpoint=2),
    )


@pytest.fixture
def train(tmp_path, capsys):
    def trained(*args, **data) -> str:
        """What the user is told by a run of the folder "set" in "run"."""
        capsys.readouterr()
        train_run(experiment(tmp_path / "set", *args, **data), tmp_path / "run", lambda: False)
        return capsys.readouterr().err

    return trained


def lines_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def truncated(file: Path) -> str:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:900])
    return "truncated"


def emptied(file: Path) -> str:
    file.write_bytes(b"")
    return "the file is empty"


def deep(file: Path) -> str:
    Image.fromarray(np.full((4, 6), 9.5, np.float32)).save(file, "TIFF")
    return "floats from 9.5 to 9.5"


@pytest.mark.parametrize("spoil", [truncated, emptied, deep])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_bad_picture_of_any_split_is_named_before_the_first_step(split, spoil, tmp_path):
    for name in ("train", "valid", "test"):
        pictures(tmp_path / "set" / name, 6)
    bad = tmp_path / "set" / split / "bees" / "3.png"
    what = spoil(bad)
    given = dataclasses.replace(experiment(tmp_path / "set"), best=None)
    with pytest.raises(UserError, match=rf"{bad}: .*{what}.*; mend or remove it, or set data.skip_bad=1"):
        data = given.data if split != "valid" else given.data.with_validation()
        data.check({}, Work, lambda: False)
    if split == "test":
        with pytest.raises(UserError, match=r"data\.skip_bad=1"):
            train_run(given, tmp_path / "run", lambda: False)
        assert not lines_of(tmp_path / "run" / METRICS)


def test_all_bad_files_are_named_at_once_and_so_many_let_pass(tmp_path, train, monkeypatch):
    pictures(tmp_path / "set", 40)
    for number in (2, 3, 5):
        emptied(next((tmp_path / "set").glob(f"*/{number}.png")))
    with pytest.raises(UserError, match=r"3 examples are bad: .*/2.png: .*/3.png: .*/5.png: .*set data.skip_bad=3"):
        train(skip_bad=2)
    assert "skipped 3 bad examples" in train(skip_bad=3)
    remembered = json.loads((tmp_path / "run" / CHECKED).read_text())
    assert len(remembered["bad"]) == 3 and remembered["pictures"] == 40

    def not_again(file: Path):
        raise AssertionError(f"{file} is checked once more")

    monkeypatch.setattr(checking, "check_picture", not_again)
    assert "skipped 3" in train(4, skip_bad=3)
    with pytest.raises(UserError, match="3 examples are bad"):
        train(6, skip_bad=1)
    emptied(tmp_path / "set" / "ants" / "8.png")
    with pytest.raises(AssertionError, match="once more"):
        train(6, skip_bad=3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read_is_named(tmp_path, train):
    pictures(tmp_path / "set")
    (tmp_path / "set" / "ants" / "0.png").chmod(0)
    with pytest.raises(UserError, match=r"0.png: .*Permission denied"):
        train()


def test_a_check_ends_when_the_run_is_to_stop(tmp_path):
    data = experiment(pictures(tmp_path)).data
    assert data.check({}, Work, lambda: True) == {}


def test_a_changed_set_is_told_once_and_noted(tmp_path, train):
    pictures(tmp_path / "set", 40)
    assert re.search(r"2 classes \(ants, bees\); pictures: \d+ train, \d+ test \(one in ten is for the test", train())
    assert "has changed" not in train(4)
    before = Pictures(name=str(tmp_path / "set")).split_digests()
    pictures(tmp_path / "set", 20, first=40)
    after = Pictures(name=str(tmp_path / "set")).split_digests()
    assert after["train"]["examples"] > before["train"]["examples"]
    told = f"train has {after['train']['examples']} examples and had {before['train']['examples']}"
    assert f"has changed since the run was last begun: {told}" in train(6)
    assert "has changed" not in train(8)
    noted = [line for line in lines_of(tmp_path / "run" / CHANGES) if "data" in line]
    assert len(noted) == 1 and noted[0]["step"] == 4 and noted[0]["data"].startswith(told)
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "set" / "ants" / "0.png", compress_level=0)
    assert "what its examples hold" in train(10)
    (tmp_path / "set" / "ants" / "0.png").rename(tmp_path / "set" / "ants" / "renamed.png")
    assert "has changed" in train(12)


def test_other_classes_are_refused_and_other_sizes_change_nothing(tmp_path, train):
    folder = pictures(tmp_path / "set")
    train()
    pictures(folder, 1, ("cats",))
    with pytest.raises(UserError, match=r"the classes of .* are ants, bees, cats, and were ants, bees when"):
        train(4)
    shutil.rmtree(folder / "cats")
    (folder / "ants").rename(folder / "wasps")
    with pytest.raises(UserError, match="are bees, wasps, and were ants, bees"):
        train(4)
    (folder / "wasps").rename(folder / "ants")
    Image.new("RGB", (3, 3)).save(folder / "ants" / "small.png")
    assert Pictures(name=str(folder)).spec().made.shape == (3, 3, 3)
    assert "going on from step 2" in train(4)  # with pictures of 4 x 6, as it has trained on


def test_recordings_and_pairs_of_every_split_are_checked_too(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(3):
            wavfile.write(tmp_path / split / f"{number}.wav", 8000, np.ones(20, np.int16))
        (tmp_path / split / "transcripts.tsv").write_text("".join(f"{number}.wav\t{number}\n" for number in range(3)))
        (tmp_path / f"{split}.a").write_text("one\ntwo\n")
        (tmp_path / f"{split}.b").write_text("ein\nzwei\n")
    sounds = Sounds(name=str(tmp_path), batch_size=2, seconds=1.0)
    pairs = Pairs(*[(str(tmp_path / f"{split}.a"), str(tmp_path / f"{split}.b")) for split in ("train", "test")])
    for data in (sounds, pairs):
        assert isinstance(data, Checked) and data.check({}, Work, lambda: False) == {}
    before = sounds.split_digests()
    emptied(tmp_path / "test" / "1.wav")
    (tmp_path / "test.b").write_text("ein\n" + "z" * 500 + "\n")
    for data, place in ((sounds, r"1.wav"), (pairs, "test.a line 2")):
        fresh = dataclasses.replace(data)
        fresh.source()  # which reads what is trained on alone
        with pytest.raises(UserError, match=place):
            fresh.check({}, Work, lambda: False)
    wavfile.write(tmp_path / "test" / "1.wav", 8000, np.ones(30, np.int16))
    longer = dataclasses.replace(sounds)
    assert longer.split_digests() == before and longer.content() != sounds.content()


@pytest.mark.parametrize(("classes", "count"), [(("ants",), 1), (("ants",), 2), (tuple("abcde"), 10)])
def test_a_set_smaller_than_its_batch_trains(classes, count, tmp_path, train):
    pictures(tmp_path / "set", count, classes)
    data = Pictures(name=str(tmp_path / "set"), batch_size=16)
    key, rows = jax.random.key(0), np.arange(16)
    for residence in (Residence.DEVICE, Residence.HOST, Residence.DISK):
        source = dataclasses.replace(data, residence=residence).source()
        device = residence is Residence.DEVICE
        batch = source.next(key, None, np.uint32(0), rows)[0] if device else next(source.stream(key, 0, rows))
        trained = {image.tobytes() for image in np.asarray(batch["made"]["value"])}
        assert trained == {image.tobytes() for image in data.arrays("train")["made"]["value"]}
    assert int(data.evaluation("test")["weight"].sum()) >= 1
    assert f"{max(count - 1, 1)} pictures" in train() or count == 10


def test_what_was_kept_of_data_before_the_first_checkpoint_is_kept_anew(tmp_path, train):
    """A run that was killed before it had one, and a class that came then."""
    pictures(tmp_path / "set")
    train()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    pictures(tmp_path / "set", 30, ("aphids", "wasps"))
    train()
    held = json.loads((tmp_path / "run" / "data.json").read_text())
    assert held["class_names"]["class"] == ["ants", "aphids", "bees", "wasps"]


def test_evaluate_reads_the_sizes_that_were_trained_on_and_refuses_other_classes(tmp_path, train):
    pictures(tmp_path / "set", 30)
    train()
    Image.new("RGB", (3, 2)).save(tmp_path / "set" / "bees" / "small.png")  # all would be cut to it
    held = experiment(tmp_path / "set")
    assert evaluate_run(tmp_path / "run", config=held)["bits_per_dim"] > 0
    pictures(tmp_path / "set", 30, ("aphids", "wasps"))
    with pytest.raises(UserError, match=r"classes of .* were ants, bees"):
        evaluate_run(tmp_path / "run", config=held)


def test_bad_files_are_known_by_where_they_lie_now(tmp_path, train):
    """A folder that has moved with all its times."""
    pictures(tmp_path / "set", 30)
    (tmp_path / "set" / "ants" / "0.png").write_bytes(b"none")
    train(skip_bad=1)
    (tmp_path / "set").rename(tmp_path / "moved")
    train_run(experiment(tmp_path / "moved", 4, skip_bad=1), tmp_path / "run", lambda: False)
    assert str(tmp_path / "moved") in (tmp_path / "run" / CHECKED).read_text()


def test_classes_whose_names_are_no_utf_8_are_kept(tmp_path, monkeypatch):
    name = os.fsdecode(b"caf\xe9")
    try:
        pictures(tmp_path / "set", 30, ("ants", name))
    except OSError:
        pytest.skip("this disk takes no such name")
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace"))  # as Python's own
    train_run(experiment(tmp_path / "set"), tmp_path / "run", lambda: False)
    assert json.loads((tmp_path / "run" / "data.json").read_text())["class_names"]["class"] == ["ants", name]
