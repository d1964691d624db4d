"""Progress: seldom lines in a log, one bar on a terminal, an ETA from the caller's rate, and never a word on stdout."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import re

import pytest

from jaxgen.reporting import terminal
from jaxgen.reporting.terminal import Progress, clock


def test_a_log_gets_the_first_and_the_last_line_of_a_fast_run(capsys):
    with Progress(5000, "train", 64) as progress:
        for step in range(100, 5001, 100):
            progress.update(step, {"loss": 1.234567}, 8200.4)
    out, lines = capsys.readouterr()
    assert out == ""
    assert lines.splitlines() == [
        "train: step 100/5000  2 %  loss 1.235  8,200 examples/s  ETA 0:38",
        "train: step 5000/5000  100 %  loss 1.235  8,200 examples/s  ETA 0:00",
    ]


def test_lines_are_ten_seconds_apart(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with Progress(100, "train", 1) as progress:
        for step in range(1, 101):
            now[0] = step  # a step a second
            progress.update(step, {}, 1.0)
    steps = [int(found) for found in re.findall(r"step (\d+)/", capsys.readouterr().err)]
    assert steps == [1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100]


def test_a_pause_leaves_the_eta_alone(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with Progress(1200, "train", 10) as progress:
        for step in (100, 200):
            progress.update(step, {}, 100.0)
            now[0] += 3600.0  # an evaluation of an hour
    assert re.findall(r"ETA (\S+)", capsys.readouterr().err) == ["1:50", "1:40"]


@pytest.mark.parametrize("rate", [None, 0.0, float("nan"), float("inf")])
def test_without_a_rate_there_is_no_eta(capsys, rate):
    with Progress(10, "train", 64) as progress:
        progress.update(1, {"loss": float("nan")}, rate)
    assert capsys.readouterr().err == "train: step 1/10  10 %  loss nan\n"


def test_a_run_that_fails_leaves_its_last_line(capsys):
    with pytest.raises(KeyboardInterrupt), Progress(10, "train", 1) as progress:
        progress.update(1, {}, None)
        progress.update(2, {}, None)
        raise KeyboardInterrupt
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["1/10", "2/10"]


def test_nothing_said_is_nothing_shown(capsys):
    with Progress(10, "train", 1):
        pass
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_is_drawn_on_stderr_and_stdout_stays_its_own(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with Progress(200, "[train]", 64) as progress:
            progress.update(50, {"loss": 1.5}, 640.0)
            print("a result")
            progress.update(200, {"loss": 1.25}, 640.0)
    shown = _all_of(ours)
    assert capsys.readouterr().out == "a result\n"
    assert "[train]" in shown and "━" in shown
    assert "step 50/200  25 %  loss 1.5  640 examples/s  ETA 0:15" in shown
    assert "step 200/200  100 %  loss 1.25" in shown


def _all_of(terminal: int) -> str:
    """What was written to a terminal whose other end is closed: a read gives a part, the more the slower the writer."""
    with os.fdopen(terminal, "rb", buffering=0) as stream:
        parts = []
        with contextlib.suppress(OSError):  # EIO: there is no more
            while part := stream.read(65536):
                parts.append(part)
    return b"".join(parts).decode()


def test_the_clock():
    shown = [clock(seconds) for seconds in (0, 31.4, 725, 3723, 86400)]
    assert shown == ["0:00", "0:31", "12:05", "1:02:03", "24:00:00"]
