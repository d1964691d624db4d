"""Output goes where no UTF-8 is spoken, where nobody reads, and where nothing fits, without a traceback."""
# SPDX-License-Identifier: Apache-2.0

import io
import json
import os
import subprocess
import sys

import pytest

from jaxgen import cli
from jaxgen.experiment import Experiment
from jaxgen.running.train_run import train_run
from jaxgen.standard_streams import put_out
from tests.commands.command import jaxgen
from tests.running.test_untrained import reader

WORDS = "ein Gähnen \N{YAWNING FACE} für „alle“ – "


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A reader of a text with letters, dashes and an emoji that ASCII lacks."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text(WORDS * 40, encoding="utf-8")
    experiment: Experiment = reader(folder / "text.txt")
    train_run(experiment, folder / "run", lambda: False)
    return folder / "run"


def said(monkeypatch, encoding: str, *arguments: str, given: bytes = b"") -> tuple[int, str]:
    """The exit code, and what stands on a stdout of this encoding; `given` is read on stdin."""
    out = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(given), encoding))
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in arguments])
    return ended.value.code, out.buffer.getvalue().decode(encoding)


class Piped(io.TextIOWrapper):
    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_samples_of_letters_that_the_encoding_lacks_are_written_with_backslashes(encoding, run, monkeypatch):
    """And read back they are those that a stdout of UTF-8 gets."""
    asked = ("sample", "--workdir", run, "--given", "-", "--count", "4")
    code, whole = said(monkeypatch, "utf-8", *asked, given=WORDS.encode())
    assert code == 0 and whole.startswith(WORDS[-8:])  # of a prompt what the model was trained on is used
    code, text = said(monkeypatch, encoding, *asked, given=WORDS.encode())
    assert code == 0
    written = whole.encode(encoding, "backslashreplace").decode(encoding)
    assert text == written and ("\\U0001f971" in text) == (encoding != "utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_the_last_line_of_evaluate_is_json_in_any_encoding(encoding, run, monkeypatch):
    code, text = said(monkeypatch, encoding, "evaluate", "--workdir", run)
    assert code == 0 and json.loads(text.splitlines()[-1])["step"] == 2


def test_a_locale_without_umlauts_reads_and_writes_the_same_files(run):
    """LC_ALL=C, with what Python does against it switched off: files and names of UTF-8 all the same."""
    bare = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = jaxgen("sample", "--workdir", run, "--count", "3", env=bare)
    assert process.returncode == 0 and "Traceback" not in process.stderr, process.stderr
    assert process.stdout.isascii()
    process = jaxgen("report", "--workdir", run, "--out", run / "page.html", env=bare)
    assert process.returncode == 0, process.stderr
    assert "\N{YAWNING FACE}" in (run / "page.html").read_text(encoding="utf-8")


def test_output_that_nobody_reads_ends_quietly(run):
    command = [sys.executable, "-m", "jaxgen.cli", "sample", "--workdir", str(run), "--count", "3"]
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert process.returncode == 141 and "Traceback" not in process.stderr and "BrokenPipe" not in process.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is Linux's")
def test_output_to_a_full_disk_is_one_sentence(run, capfd, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115 - its end is no concern of this test
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(SystemExit) as ended:
        cli.main(["sample", "--workdir", str(run)])
    monkeypatch.undo()
    assert ended.value.code == 2 and "the output could not be written (No space left" in capfd.readouterr().err


def test_without_any_stdout_nothing_is_printed(monkeypatch):
    """As a program is that a service starts."""
    monkeypatch.setattr(sys, "stdout", None)
    put_out("seven")


BAR = """
import sys
from jaxgen.reporting.terminal import Progress, say
with Progress(4, "train \\u2013 \\N{YAWNING FACE}", 1) as progress:
    for step in (1, 2, 3, 4):
        progress.update(step, {"loss": 1.0}, 2.0)
    say("\\u201eso\\u201c")
"""


def test_the_progress_bar_is_drawn_on_a_terminal_of_ascii():
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.run([sys.executable, "-c", BAR], stderr=slave, env=environment)
    os.close(slave)
    drawn = os.read(master, 100_000).decode()
    os.close(master)
    assert process.returncode == 0 and "step 4/4" in drawn and "Traceback" not in drawn and drawn.isascii()
