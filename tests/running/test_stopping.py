"""One stop may come as several signals: together they count once, and a later one ends the work at once."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxgen.running import stopping
from jaxgen.running.stopping import Stop
from tests.commands.command import ROOT, begin, train_small
from tests.commands.test_resume import lines

KINDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def listened_to():
    """Tests that are run by nohup would pass over a lost terminal."""
    before = {kind: signal.signal(kind, signal.SIG_DFL) for kind in (signal.SIGHUP, signal.SIGUSR1)}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)
        time.sleep(0)  # the interpreter runs the handler


PAIRS = list(itertools.product(KINDS, KINDS))


@pytest.mark.parametrize("numbers", PAIRS, ids=lambda pair: "-".join(number.name for number in pair))
def test_signals_of_any_kinds_within_a_second_count_once(numbers, monkeypatch):
    monkeypatch.setattr(stopping, "ONE_STOP", 600.0)  # however slow this machine is
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    before = [signal.getsignal(kind) for kind in KINDS]
    with Stop() as stop:
        assert not stop()
        send(*numbers, *numbers)
        assert stop() and stop.signal == numbers[0]
    assert [signal.getsignal(kind) for kind in KINDS] == before


@pytest.mark.parametrize("later", KINDS, ids=lambda kind: kind.name)
def test_a_later_one_ends_the_work_at_once(later, monkeypatch):
    monkeypatch.setattr(stopping, "ONE_STOP", 0.0)
    with Stop() as stop:
        send(signal.SIGTERM)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            send(later)
            time.sleep(0.01)
    assert stop.signal == signal.SIGTERM


def test_what_comes_after_the_work_and_belongs_to_the_stop_hits_no_other_handler(monkeypatch):
    """The work has ended 0.1 s after the first signal, and the second comes 0.3 s after it."""
    met: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: met.append(number))
    try:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        with Stop() as stop:
            send(signal.SIGTERM)
            timer.start()
        assert stop() and not met
        send(signal.SIGINT)
        assert met == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_under_nohup_a_lost_terminal_is_no_reason_to_stop():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            send(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_a_thread_that_gets_no_signals_it_is_never_true():
    found = []

    def work() -> None:
        with Stop() as stop:
            found.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_run_that_two_signals_stop_is_saved(tmp_path):
    run = tmp_path / "run"
    process = begin(*train_small("configs/rnn/python_docs.py", run, "every.checkpoint=1000", "steps=100000"))
    while process.poll() is None and lines(run) < 2:
        time.sleep(0.01)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.15)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "which is saved" in said, said
    assert "Traceback" not in said and said.count("stopping") == 1
    assert [path.name.isdigit() for path in (run / "checkpoints").iterdir()] == [True]


BEFORE_THE_FIRST_STEP = """
import os, signal, sys
from jaxgen.running.stopping import Stop
from jaxgen.running.train_run import train_run
from pathlib import Path
from tests.running.test_rollback import experiment
with Stop() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    sys.exit(train_run(experiment(), Path(sys.argv[1]), stop))
"""


def test_a_stop_before_the_first_step_saves_after_the_first_call(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", BEFORE_THE_FIRST_STEP, tmp_path / "run"], capture_output=True, cwd=ROOT
    )
    assert process.returncode == 2, process.stderr
    assert (tmp_path / "run" / "checkpoints" / "2").is_dir()
