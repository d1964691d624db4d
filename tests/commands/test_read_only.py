"""A run on a disk that may only be read is sampled, evaluated, scored and reported; what must be written asks where."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxgen.commands.evaluate import evaluate
from jaxgen.commands.report import report
from jaxgen.commands.sample import sample
from jaxgen.commands.score import score
from jaxgen.errors import UserError
from jaxgen.running.train_run import train_run
from tests.commands.test_locales import WORDS
from tests.running.test_untrained import reader


@contextlib.contextmanager
def only_read(folder: Path) -> Iterator[None]:
    """The folder without a right to write; for root, whom rights do not bind, as a mount that may only be read."""
    if os.access(folder, os.W_OK) and hasattr(os, "getuid") and os.getuid() == 0:
        if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
            pytest.skip("no right to mount")
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o700)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("only-read")
    (folder / "text.txt").write_text(WORDS * 40, encoding="utf-8")
    train_run(reader(folder / "text.txt"), folder / "run", lambda: False)
    with only_read(folder / "run"):
        yield folder / "run"


def test_the_run_cannot_be_written(run):
    with pytest.raises(OSError, match=r"Read-only|Permission"):
        (run / "x").write_text("x")


def test_report_asks_for_another_place_at_once_and_writes_there(run, tmp_path, capsys):
    with pytest.raises(UserError, match=r"report\.html could not be written .*by --out"):
        report([str(run)], None)
    assert capsys.readouterr().err == ""  # nothing was computed first
    assert report([str(run)], str(tmp_path / "page.html")) == 0
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["missing/page.html", "."])
def test_a_place_that_cannot_hold_the_page_is_told(place, run, tmp_path):
    with pytest.raises(UserError, match="name another place by --out"):
        report([str(run)], str(tmp_path / place))


def test_it_is_sampled_evaluated_and_scored(run, capsys):
    name = str(run)
    assert sample(name, None, (), None, (), 2, None, 0) == 0
    assert capsys.readouterr().out
    assert evaluate(name, None, (), None, "test") == 0
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1])["step"] == 2 and "summary.json could not be written" in said.err
    assert score(name, None, (), [WORDS], []) == 0
    assert json.loads(capsys.readouterr().out)["bound"] == "exact"


def test_it_is_not_trained_on_and_not_touched(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    data = run.parent / "text.txt"
    with pytest.raises(UserError, match=r"cannot be written .* give another --workdir"):
        train_run(reader(data), run, lambda: False)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
