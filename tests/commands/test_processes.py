"""Two real processes train one run: as one process does, stopped together, and neither hangs when the other is dead."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.training import processes
from jaxgen.training.processes import join, surrounding
from tests.commands.command import begin, jaxgen, train_small
from tests.commands.test_resume import end_of, lines

STREAM = "configs/rnn/python_docs.py"  # its state runs along the batch, so each process holds a part of it


def devices(count: int) -> dict[str, str]:
    """The environment of a process with so many virtual devices."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"
    return os.environ | {"XLA_FLAGS": flags}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def begin_both(arguments: list[str], each: int = 2) -> list[subprocess.Popen]:
    """Two processes with two devices each, or as many as are said."""
    meeting = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    return [begin(*arguments, *meeting, "--process", str(place), env=devices(each)) for place in (0, 1)]


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Each process's exit code and what it said."""
    said = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def when_it_has_logged(run: Path, number: int) -> None:
    until = time.monotonic() + 120
    while lines(run) < number:
        assert time.monotonic() < until, "the run writes nothing"
        time.sleep(0.01)


def same_figures(one: Path, other: Path) -> None:
    """The logs of both runs, value by value, as far as Adam lets rounding grow."""
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, other)]
    assert len(logs[0]) == len(logs[1]) > 3
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys() and (a["step"], a["split"]) == (b["step"], b["split"])
        names = [name for name in a if name not in ("step", "split")]
        np.testing.assert_allclose([a[name] for name in names], [b[name] for name in names], rtol=2e-4, err_msg=str(a))


def as_one_process(config: str, tmp_path: Path, *settings: str) -> tuple[list[str], Path]:
    """The arguments of a run of two processes, and the same run of one, ended."""
    alone = jaxgen(*train_small(config, tmp_path / "alone", *settings), env=devices(4))
    assert alone.returncode == 0, alone.stderr
    return train_small(config, tmp_path / "run", *settings), tmp_path / "run"


@pytest.mark.parametrize(
    ("stop", "codes"),
    [(signal.SIGTERM, [143, 143]), pytest.param(signal.SIGINT, [143, 130], marks=pytest.mark.slow)],
)
def test_two_processes_are_stopped_together_and_end_as_one(stop, codes, tmp_path):
    """The signal comes to the one that neither writes nor saves."""
    arguments, run = as_one_process(STREAM, tmp_path, "every.checkpoint=1000")
    both = begin_both(arguments)
    when_it_has_logged(run, 2)
    both[1].send_signal(stop)
    assert [code for code, _ in ended(both)] == codes
    (saved,) = [path.name for path in (run / "checkpoints").iterdir()]
    assert 0 < int(saved) < 60
    for code, said in ended(begin_both(arguments)):
        assert code == 0, said
    same_figures(tmp_path / "alone", run)


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_when_one_dies_the_other_ends_with_a_sentence_and_both_go_on_from_the_same_step(dead, tmp_path):
    arguments, run = as_one_process(STREAM, tmp_path, "every.checkpoint=6")
    for code, said in ended(begin_both(train_small(STREAM, tmp_path / "whole", "every.checkpoint=6"))):
        assert code == 0, said
    both = begin_both(arguments)
    when_it_has_logged(run, 4)
    both[dead].send_signal(signal.SIGKILL)
    died = time.monotonic()
    code, said = ended([both[1 - dead]])[0]
    assert time.monotonic() - died < 60 and code not in (0, -signal.SIGKILL)
    assert "another process of this run" in said or "another task died" in said, said
    ended([both[dead]])
    for code, said in ended(begin_both(arguments)):
        assert code == 0, said
    assert end_of(run)[:3] == end_of(tmp_path / "whole")[:3]
    same_figures(tmp_path / "alone", run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ("configs/gan/digits.py", ()),
        ("configs/gan/digits.py", ("data.residence=HOST",)),
        ("configs/vae/digits.py", ()),
        ("configs/diffusion/digits.py", ("parallel.fsdp=4",)),
        ("configs/transformer/digits.py", ("parallel.tensor=2",)),
    ],
    ids=str,
)
def test_every_family_trains_in_two_processes(config, settings, tmp_path):
    settings = [*settings, "parallel.data=0", "every.checkpoint=30"]
    arguments, run = as_one_process(config, tmp_path, *settings)
    for code, said in ended(begin_both(arguments)):
        assert code == 0, said
    same_figures(tmp_path / "alone", run)
    again = jaxgen(*arguments, env=devices(4))  # one process reads what two have written
    assert again.returncode == 0 and "has ended at step 60" in again.stderr


@pytest.mark.slow
def test_a_state_of_3_gb_cut_over_two_processes_is_saved_and_resumed_bit_for_bit(tmp_path):
    """190 million parameters, their moments and average: more than a message or a file of 2 GiB. Takes 14 GB."""
    sizes = ["task.network.width=1024", "task.network.blocks=15", "task.network.hidden=4096", "task.network.scan=true"]
    often = ["every.log=1", "every.evaluate=9", "every.sample=9", "every.checkpoint=1", "evaluate.examples=2", "keep=2"]
    settings = [*sizes, *often, "steps=3", "data.batch_size=2", "data.length=8", "parallel.data=1", "parallel.fsdp=2"]
    arguments = train_small("configs/transformer/python_docs.py", tmp_path, *settings)
    for code, said in ended(begin_both(arguments, each=1)):
        assert code == 0, said
    step, leaves, *rest = end_of(tmp_path)
    assert step == 3 and sum(file.stat().st_size for file in (tmp_path / "checkpoints" / "3").rglob("*")) > 3e9
    shutil.rmtree(tmp_path / "checkpoints" / "3")
    for code, said in ended(begin_both(arguments, each=1)):
        assert code == 0, said
    assert end_of(tmp_path) == (step, leaves, *rest)


SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        (SLURM, "task 1 of 2 of SLURM"),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({name: value for name, value in SLURM.items() if name != "SLURM_STEP_NODELIST"}, None),  # no srun
        (
            {"OMPI_MCA_orte_hnp_uri": "1;tcp://n:1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"},
            "rank 3 of 4 of Open MPI",
        ),
        ({"TPU_WORKER_ID": "1", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}, "worker 1 of 4 of a TPU pod"),
        (
            {"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1"},
            "worker 0 of 1 of a TPU pod, slice 1 of 2",
        ),
        ({"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "localhost", "MEGASCALE_NUM_SLICES": ""}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "3"}, "pod 3 of a job of Kubernetes"),
    ],
)
def test_a_launcher_is_found_where_it_has_started_several(environment, found, monkeypatch):
    monkeypatch.setattr("jaxgen.training.processes._has", lambda package: True)
    assert surrounding(environment) == found


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("node1:29500", None, None), "belong together"),
        (("node1", 2, 0), "HOST:PORT"),
        (("node1:29500", 2, 2), "numbered from 0 to 1"),
    ],
)
def test_a_wrong_meeting_is_told_in_a_sentence(given, sentence):
    with pytest.raises(UserError, match=sentence):
        join(*given)


def test_what_process_0_tells_goes_in_messages_of_a_bounded_size(monkeypatch):
    """Of one process, whose messages come back to itself; the length of 3 GiB goes as exactly."""
    sizes = []

    def back(message: np.ndarray) -> np.ndarray:
        sizes.append(message.nbytes)
        return message

    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(processes.multihost_utils, "broadcast_one_to_all", back)
    monkeypatch.setattr(processes, "_MESSAGE", 7)
    for length in (0, 1, 6, 7, 8, 50):
        content = np.random.default_rng(length).bytes(length)
        assert processes.told(content) == content
    assert max(sizes) == 7 and min(sizes) == 1
    tree = {"a": np.arange(11, dtype=np.float32), "b": np.int32(-3), "c": np.array([-0.0, np.nan], np.float32)}
    again = processes.told_tree(tree, tree)
    assert all(np.asarray(tree[name]).tobytes() == again[name].tobytes() for name in tree)
    assert int.from_bytes(processes._sent((3 * 2**30).to_bytes(8, "little"), 8), "little") == 3 * 2**30
