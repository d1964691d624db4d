"""Processes that load examples end with the trainer however it ends, and outlive what is sent to all processes."""
# SPDX-License-Identifier: Apache-2.0

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.commands.command import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="groups of processes are POSIX's")

TRAINER = """
import signal, sys
import multiprocessing
import jax, numpy as np
from tests.data.test_workers import Numbers
from jaxgen.data.pictures import Pictures
from jaxgen.data.streams import StreamedExamples

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it goes on, as a run does that is being stopped
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    source = StreamedExamples(Numbers(), Pictures().spec(), 4, workers=2)
    batches = source.stream(jax.random.key(0), 0, np.arange(4))
    first, _ = next(batches), next(batches)  # one of each process: both have begun, and listen to no signal
    print(first["made"]["value"].shape, *(child.pid for child in multiprocessing.active_children()), flush=True)
    sys.stdin.readline()
    print(sum(1 for _, _ in zip(range(40), batches)), flush=True)
    sys.stdin.readline()
"""


class Numbers:
    """Examples that are read by their number."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, number: int) -> dict:
        import numpy as np

        picture = np.full((8, 8, 1), number % 16, np.uint8)
        return {"given": {"class": {"value": np.int32(number % 10)}}, "made": {"value": picture}}


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only its parent has not asked for counts as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = f"/proc/{pid}/stat"
    if not os.path.exists(stat):
        return False
    with open(stat) as file:
        return file.read().rpartition(")")[2].split()[0] in "ZX"


@pytest.fixture
def trainer(tmp_path):
    """A process that reads by two others, and their ids."""
    (tmp_path / "trainer.py").write_text(TRAINER)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, str(tmp_path / "trainer.py")]
    process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.stderr.read())
    workers = [int(word) for word in line.rpartition(")")[2].split()]
    assert len(workers) == 2
    yield process, workers
    process.kill()
    process.communicate()


def test_they_outlive_signals_to_all_and_end_with_a_trainer_that_is_killed(trainer):
    process, workers = trainer
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for worker in workers:
            os.kill(worker, number)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "40\n"  # all batches that it still wants
    assert not any(gone(worker) for worker in workers)
    process.kill()
    _, said = process.communicate()
    until = time.monotonic() + 60
    while not all(gone(worker) for worker in workers):
        assert time.monotonic() < until, "they are left behind"
        time.sleep(0.05)
    assert "Traceback" not in said and "Warning" not in said, said
