"""`jaxgen restore` with a short training on digits: what it writes, what it says, and what it never touches."""
# SPDX-License-Identifier: Apache-2.0

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from jaxgen.cli import main
from jaxgen.commands.restore import Told, restore
from jaxgen.data.photographs import Photograph, png, read_photograph
from jaxgen.errors import UserError
from jaxgen.reporting.before_after import sheet
from tests.commands.command import here, jaxgen, told

FIELDS = ["task.network.width=32", "task.network.blocks=1", "task.sampler.steps=2", "evaluate.examples=16"]
ONCE = [f"every.{what}=150" for what in ("log", "evaluate", "sample", "checkpoint")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("restore") / "run"
    arguments = ["train", "--config", "configs/diffusion/digits.py", "--workdir", run]
    process = jaxgen(*arguments, "--set", "steps=150", *FIELDS, *ONCE)
    assert process.returncode == 0, process.stderr
    return str(run)


def digits() -> np.ndarray:
    """A row of three held-out digits [8, 24] uint8."""
    return np.rint(np.hstack(load_digits().images[1500:1503]) * (255 / 16)).astype(np.uint8)


def saved(folder, pixels: np.ndarray, name: str = "photo.png") -> str:
    (folder / name).write_bytes(png(Photograph(np.atleast_3d(pixels))))
    return str(folder / name)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


def test_noise_is_taken_off_and_the_photograph_left_as_it_is(run, tmp_path, capsys):
    clean = digits()
    noise = 0.25 * 255 * np.random.default_rng(0).standard_normal(clean.shape)
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    photo, out = saved(tmp_path, noisy), tmp_path / "fixed.png"
    before = (tmp_path / "photo.png").read_bytes()
    assert restore(run, None, [], None, photo, str(out), Told("denoise", noise=0.25, evaluations=6), count=3) == 0
    fixed = read_photograph(out).pixels[..., 0]
    assert psnr(fixed, clean) > psnr(noisy, clean) + 0.5
    assert (tmp_path / "photo.png").read_bytes() == before
    lines = capsys.readouterr()
    path, sheet, sure = lines.out.splitlines()
    assert path == str(out) and sheet == str(tmp_path / "fixed.sheet.png") and "of 255 levels" in sure
    assert "noise of 25 % of the range (as told)" in lines.err
    with Image.open(sheet) as picture:
        assert picture.width > 3 * picture.height / 4


def test_known_pixels_depth_and_transparency_stay_bit_for_bit(run, tmp_path, capsys):
    """A picture in colour, of 16 bits, restored channel by channel by a model of grey ones."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 65_535, (9, 11, 3), np.uint16, endpoint=True)
    alpha = rng.integers(0, 65_535, (9, 11), np.uint16, endpoint=True)
    missing = rng.random((9, 11)) < 0.3
    (tmp_path / "photo.png").write_bytes(png(Photograph(pixels, alpha)))
    mask = saved(tmp_path, missing.astype(np.uint8) * 255, "mask.png")
    out = tmp_path / "fixed.png"
    how = Told("inpaint", mask=mask, evaluations=2)
    assert restore(run, None, [], None, str(tmp_path / "photo.png"), str(out), how, count=1) == 0
    fixed = read_photograph(out)
    assert fixed.pixels.dtype == np.uint16
    np.testing.assert_array_equal(fixed.alpha, alpha)
    np.testing.assert_array_equal(fixed.pixels[~missing], pixels[~missing])
    assert (fixed.pixels[missing] != pixels[missing]).any()
    assert "how sure it is, several would tell" in capsys.readouterr().out


def test_the_sheet_replaces_a_sheet_and_nothing_else(tmp_path):
    """Which is told before the run is looked for; what --out itself names was asked for."""
    photo, out, beside = saved(tmp_path, digits()), tmp_path / "fixed.png", tmp_path / "fixed.sheet.png"
    how = Told("denoise", noise=0.1, evaluations=2)
    for own in (Path(photo).read_bytes(), b"notes"):
        beside.write_bytes(own)
        with pytest.raises(UserError, match=r"fixed.sheet.png, where the sheet goes, is another file; give another"):
            restore("no/run", None, [], None, photo, str(out), how)
        assert beside.read_bytes() == own and not out.exists()
    beside.write_bytes(sheet(digits()[..., None], digits()[..., None], None))
    with pytest.raises(UserError, match="no/run is no run"):
        restore("no/run", None, [], None, photo, str(out), how)


def test_no_file_that_is_read_is_ever_written(run, tmp_path):
    photo = saved(tmp_path, digits())
    mask = saved(tmp_path, digits(), "fixed.sheet.png")
    before = {name: (tmp_path / name).read_bytes() for name in ("photo.png", "fixed.sheet.png")}
    os.symlink(photo, tmp_path / "link.png")
    os.link(photo, tmp_path / "hard.png")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "folder.sheet.png").mkdir()
    spellings = [photo, tmp_path / "deeper" / ".." / "photo.png", tmp_path / "link.png", tmp_path / "hard.png"]
    for out in [*spellings, tmp_path / "fixed.png"]:
        with pytest.raises(UserError, match="is never overwritten"):
            restore(run, None, [], None, photo, str(out), Told("inpaint", mask=mask))
    with pytest.raises(UserError, match=r"folder.sheet.png is a folder; give another --out"):
        restore(run, None, [], None, photo, str(tmp_path / "folder.png"), Told("inpaint", mask=mask))
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


@pytest.mark.parametrize(
    ("out", "how", "count", "sentence"),
    [
        ("fixed.jpg", {}, 4, "end --out in .png"),
        ("none/fixed.png", {}, 4, "there is no folder"),
        ("fixed.png", {}, 0, "--count is 0"),
        ("fixed.png", {"noise": 30.0}, 4, "--noise is 30.0"),
        ("fixed.png", {"mask": "photo.png"}, 4, "--mask says nothing of denoise"),
        ("fixed.png", {"mask": "none.png"}, 4, "there is no file none.png; give the path of a mask"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(out, how, count, sentence, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = saved(tmp_path, digits())
    with pytest.raises(UserError, match=sentence):
        restore(run, None, [], None, photo, str(tmp_path / out), Told("denoise", **{"noise": 0.1, **how}), count)
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png"]


def test_a_picture_larger_than_the_memory_is_told(run, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxgen.running.bounded.device_bytes", lambda: 1000)
    with pytest.raises(UserError, match="scale it down, or cut it into parts"):
        restore(run, None, [], None, saved(tmp_path, digits()), str(tmp_path / "x.png"), Told("denoise", noise=0.2))


def test_as_a_command_it_lists_what_can_be_undone_and_wants_a_run(tmp_path, capsys):
    photo = saved(tmp_path, digits())
    arguments = ["restore", "--workdir", str(tmp_path), photo, "--out", str(tmp_path / "x.png"), "--degradation"]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "rust"])
    assert "old-photo" in capsys.readouterr().err
    assert "is no run" in told(here(*arguments, "auto"))


def test_a_stop_is_answered_within_a_step_and_nothing_is_written(run, tmp_path, capsys):
    photo = saved(tmp_path, digits())
    before = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        while signal.getsignal(signal.SIGTERM) is before:  # until the command listens
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    how = Told("inpaint", mask=saved(tmp_path, 255 * np.eye(8, 24, dtype=np.uint8), "mask.png"), evaluations=10_000)
    assert restore(run, None, [], None, photo, str(tmp_path / "fixed.png"), how, count=1000) == 128 + signal.SIGTERM
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mask.png", "photo.png"]
    assert "nothing was written" in capsys.readouterr().err
