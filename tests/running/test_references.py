"""Reference rows and figures of small, large, changed and vanished sets: numbers, or a dash with its reason."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.commands.report import report
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.core.data import first_or_spread
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.modalities.image import ImagePresents
from jaxgen.modalities.presents import Meaning
from jaxgen.running.data_info import DataInfo, keep
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.references import references_of
from jaxgen.running.train_run import train_run
from jaxgen.training.folder import RunFolder
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Image as ImageSize
from tests.worlds import Histogram

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "vae" / "digits.py"
FOREST, DISTANCE = "two_sample_accuracy", "frechet_distance[pixels]"


def write_pictures(folder: Path, count: int, side: int = 4) -> Path:
    folder.mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def begun(folder: Path, data: Pictures) -> Path:
    """A run that was stopped before its first evaluation: it says what it is, and has measured nothing."""
    experiment = dataclasses.replace(load_experiment(CONFIG, Experiment), data=data)
    run = RunFolder(folder)
    run.describe(to_document(experiment), {})
    keep(run, experiment, DataInfo.of(data), True)
    run.close()
    return folder


def page(*folders: Path) -> str:
    assert report([str(folder) for folder in folders], str(folders[0].parent / "page.html")) == 0
    return (folders[0].parent / "page.html").read_text()


def test_a_few_pictures_of_two_classes_have_rows_with_reasons(tmp_path, capsys):
    for kind in ("cat", "dog"):
        write_pictures(tmp_path / "own" / kind, 10)
    run = begun(tmp_path / "run", Pictures(str(tmp_path / "own"), batch_size=4))
    rows = references_of([run])
    assert set(rows) == {"real pictures", "per-class pixel histogram"}
    for row in rows.values():
        assert row[FOREST] is None and "at least 5 examples a side" in row["unmeasured"][FOREST]
        assert row[DISTANCE] > 0 and row["training_examples"] + row["held_out_examples"] == 20
    shown = page(run)
    assert "at least 5 examples a side" in shown and "training and 2 held-out examples" in shown
    assert "real pictures: not measured: two_sample_accuracy" in capsys.readouterr().err


def test_pictures_without_classes_have_a_floor_too(tmp_path):
    rows = references_of([begun(tmp_path / "run", Pictures(str(write_pictures(tmp_path / "own", 30)), batch_size=4))])
    assert set(rows) == {"real pictures", "pixel histogram"}
    assert rows["real pictures"][DISTANCE] > 0 and rows["pixel histogram"]["bits_per_dim"] > 0


def test_a_fraction_that_is_too_small_for_the_floor_is_a_dash_with_its_reason(tmp_path):
    run = begun(tmp_path / "run", Pictures(fraction=0.05, only=(0, 1)))
    rows = references_of([run])
    assert rows["real digits"][DISTANCE] is None
    assert "there are 6 training and 39 held-out pictures of class 0" in rows["real digits"]["unmeasured"][DISTANCE]
    assert rows["per-class pixel histogram"][DISTANCE] > 0  # which a few training pictures suffice for
    assert "held-out pictures of class" in page(run)


def test_a_class_without_a_test_picture(tmp_path):
    for folder in ("train/cat", "train/dog", "test/cat"):
        write_pictures(tmp_path / "own" / folder, 6)
    rows = references_of([begun(tmp_path / "run", Pictures(str(tmp_path / "own"), batch_size=4))])
    assert all(row[DISTANCE] >= 0 and "unmeasured" not in row for row in rows.values())


def test_data_that_are_gone_or_changed_leave_the_report_and_say_why(tmp_path, capsys):
    own = write_pictures(tmp_path / "own", 20)
    run = begun(tmp_path / "run", Pictures(str(own), batch_size=4))
    other = begun(tmp_path / "other", Pictures(only=(0,)))
    shutil.move(own, tmp_path / "moved")
    gone = references_of([run, other])
    assert "which is no folder" in gone["reference rows"]["unmeasured"]["all figures"]
    assert gone["real digits"]["data"] == "digits"  # the other run's rows are there all the same
    shown = page(run)
    assert "no folder" in shown and "no folder" in capsys.readouterr().err
    write_pictures(own, 20, side=5)  # under the same name other pictures
    assert "has changed since" in references_of([run])["reference rows"]["unmeasured"]["all figures"]


def test_a_damaged_picture_is_told(tmp_path):
    own = write_pictures(tmp_path / "own", 20)
    run = begun(tmp_path / "run", Pictures(str(own), batch_size=4))
    for file in own.iterdir():
        file.write_bytes(file.read_bytes()[:50])
    assert str(own) in references_of([run])["reference rows"]["unmeasured"]["all figures"]


def test_each_data_set_has_its_own_rows_in_its_own_table(tmp_path):
    runs = [begun(tmp_path / "a", Pictures(only=(0,)))]
    runs.append(begun(tmp_path / "b", Pictures(str(write_pictures(tmp_path / "own", 30)), batch_size=4)))
    for run in runs:
        (run / "summary.json").write_text(json.dumps({DISTANCE: 1.0}))
    assert {row["data"] for row in references_of(runs).values()} == {"digits", str(tmp_path / "own")}
    shown = page(*runs)
    tables = [part for part in shown.split("<table")[1:] if 'class="references"' in part]
    names = "digits", tmp_path / "own"
    digits, own = (next(part for part in tables if f"How good, {name}" in part) for name in names)
    assert "real digits" in digits and "real pictures" not in digits
    assert "real pictures" in own and "real digits" not in own


def test_of_a_large_folder_only_pictures_at_even_distances_are_read(tmp_path):
    for kind in ("a", "b", "c", "d"):
        write_pictures(tmp_path / "own" / "train" / kind, 5)
    write_pictures(tmp_path / "own" / "test" / "a", 1)
    data = Pictures(str(tmp_path / "own"), batch_size=4)
    wanted = first_or_spread(data, "train", 4)
    np.testing.assert_array_equal(wanted["given"]["class"]["value"], [0, 1, 2, 3])  # and not four of the first class
    for number, file in enumerate(sorted((tmp_path / "own" / "train").rglob("*.png"))):
        if number % 5:
            file.write_bytes(b"none of these is read")
    read = first_or_spread(Pictures(str(tmp_path / "own"), batch_size=4), "train", 4)
    np.testing.assert_array_equal(read["made"]["value"], wanted["made"]["value"])
    assert len(first_or_spread(data, "test", 9)["made"]["value"]) == 1


@pytest.mark.parametrize(("side", "most"), [(8, 10_000), (64, 10_000), (256, 5461)])
def test_the_reference_rows_of_large_pictures_take_bounded_memory(side, most):
    assert ImagePresents(ImageSize(side, side, 3, 256), Meaning("")).training == most


@pytest.mark.parametrize(("count", "missing"), [(2, {FOREST, DISTANCE}), (30, {FOREST})])
def test_a_run_on_a_few_pictures_is_evaluated(tmp_path, capsys, count, missing):
    data = Pictures(str(write_pictures(tmp_path / "own", count)), batch_size=4)
    experiment = Experiment(Histogram(), data, {"histogram": AdamW()}, 1, every=Every(1, 1, 1, 1))
    train_run(experiment, tmp_path / "run", lambda: False)
    figures = evaluate_run(tmp_path / "run", config=experiment)
    assert set(figures["unmeasured"]) == missing == {name for name, value in figures.items() if value is None}
    held_out = len(data.examples("test"))
    assert figures["bits_per_dim"] > 0 and figures["held_out_examples"] == held_out
    assert list(figures)[-1] == "unmeasured" and "not measured: " in capsys.readouterr().err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["unmeasured"] == figures["unmeasured"] and summary[FOREST] is None
    shown = page(tmp_path / "run")
    assert 'title="a two-sample test in 5 folds' in shown and "Dashes that have a reason" in shown
