"""`jaxgen ablate --on ray` on two nodes on this machine: the figures of local runs, also where a node is lost."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from jaxgen.errors import UserError
from jaxgen.running import on_ray
from tests.commands.command import begin, here, jaxgen, told
from tests.commands.test_ablate import written

# Two nodes of a CPU each, in files of their own; the second is killed at a line of stdin, both end with its end.
NODES = """
import sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**small, "temp_dir": sys.argv[1], "include_dashboard": False})
try:
    second = cluster.add_node(**small)
    print("address", cluster.address, flush=True)
    if sys.stdin.readline():
        cluster.remove_node(second, allow_graceful=False)
    sys.stdin.read()
finally:
    cluster.shutdown()
"""
NAMES, STEPS = ("width=8", "width=12"), 1800


def small(folder: Path) -> Path:
    """An ablation whose runs can be caught between their first step and their last."""
    file = written(folder, '"task.network.width": (8, 12)')
    often = '"every.log=6", "every.checkpoint=30", "steps_per_call=3", '
    file.write_text(file.read_text().replace("SMALL = [", f"SMALL = [{often}").replace("Steps(2)", f"Steps({STEPS})"))
    return file


@pytest.fixture
def nodes():
    """The process that holds them, and the environment of a command that finds them."""
    pytest.importorskip("ray", reason="needs Ray (extra ray)")
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a short path, for Ray's sockets lie in it
    (folder / "ray").mkdir()  # where Ray notes the newest cluster, in a folder that it does not make
    # without the second they give way to all else on this machine
    surroundings = os.environ | {"RAY_TMPDIR": str(folder), "RAY_worker_niceness": "0"}
    command = [sys.executable, "-c", NODES, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes, stderr=subprocess.DEVNULL, env=surroundings)
    try:
        address = next(line.split()[1] for line in process.stdout if line.startswith("address "))
        yield process, os.environ | {"RAY_ADDRESS": address}
    finally:
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        end_all(folder)
        shutil.rmtree(folder, ignore_errors=True)


def end_all(folder: Path) -> None:
    """What is left of a cluster: its processes are told its folder, and those of tasks end with them."""
    for told_words in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in told_words.read_bytes():
                os.kill(int(told_words.parent.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The figures by local processes, each on one core."""
    pytest.importorskip("ray", reason="needs Ray (extra ray)")
    folder = tmp_path_factory.mktemp("alone")
    core = {min(os.sched_getaffinity(0))}
    asked = "ablate", "--config", small(folder), "--workdir", folder / "runs"
    process = jaxgen(*asked, preexec_fn=lambda: os.sched_setaffinity(0, core))
    assert process.returncode == 0, process.stderr
    return figures(folder / "runs")


def figures(runs: Path) -> list[dict]:
    return [row["figures"] for row in json.loads((runs / "results.json").read_text())["configurations"]]


def wait_for_steps(runs: Path, process: subprocess.Popen) -> None:
    """Until both runs have logged a step and none has ended."""
    while len(list(runs.glob("members/*/metrics.jsonl"))) < len(NAMES):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    assert not list(runs.glob("outcomes/*"))


def check_ended(process: subprocess.Popen, runs: Path, alone: list[dict]) -> str:
    """Every member has ended, once, with the local figures; each step is logged once. What was said."""
    out, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert figures(runs) == alone and out.startswith("| configuration |") and out.count("| width 8 |") == 1
    assert sorted(file.stem for file in (runs / "outcomes").iterdir()) == sorted(NAMES)
    for name in NAMES:
        lines = (runs / "members" / name / "metrics.jsonl").read_text().splitlines()
        steps = [line["step"] for line in map(json.loads, lines) if line["split"] == "train"]
        assert len(steps) == len(set(steps)) and steps[-1] == STEPS
    assert not list(runs.glob(".seen*"))
    return said


def begun_on_ray(folder: Path, surroundings: dict) -> tuple[subprocess.Popen, tuple[str, ...]]:
    """The ablation in the folder's `runs`, both of whose runs have logged steps, and its command."""
    asked = "ablate", "--config", str(small(folder)), "--workdir", str(folder / "runs"), "--on", "ray"
    process = begin(*asked, env=surroundings)
    wait_for_steps(folder / "runs", process)
    return process, asked


@pytest.mark.slow
def test_stopped_and_gone_on_with_it_tells_the_figures_of_local_processes(nodes, alone, tmp_path):
    _, surroundings = nodes
    stopped, asked = begun_on_ray(tmp_path, surroundings)
    stopped.terminate()
    _, said = stopped.communicate(timeout=300)
    assert stopped.returncode == 128 + signal.SIGTERM, said
    assert "the same command goes on from there" in said and not list(tmp_path.glob("runs/outcomes/*"))
    saved = [int(folder.name) for folder in tmp_path.glob("runs/members/*/checkpoints/*") if folder.name.isdecimal()]
    assert len(saved) >= 2 and STEPS not in saved
    said = check_ended(begin(*asked, env=surroundings), tmp_path / "runs", alone)
    for name in NAMES:  # the runs' lines, behind their names
        assert re.search(rf"\({name} .*\).* step {STEPS}/{STEPS}", said)


@pytest.mark.slow
def test_a_node_lost_in_the_middle_is_made_up_for(nodes, alone, tmp_path):
    host, surroundings = nodes
    process, _ = begun_on_ray(tmp_path, surroundings)
    host.stdin.write("kill\n")
    host.stdin.flush()
    said = check_ended(process, tmp_path / "runs", alone)
    begun = re.findall(r"jaxgen: (width=\d+): \d of 2 done", said)
    assert len(begun) == 3 and set(begun) == set(NAMES)  # one of them twice


def test_a_cluster_that_cannot_be_reached_is_told_in_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray (extra ray)")
    monkeypatch.setattr(on_ray, "_SECONDS_TO_ANSWER", 3)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    asked = "ablate", "--config", written(tmp_path), "--workdir", tmp_path / "runs", "--on", "ray"
    sentence = told(here(*asked))
    assert "the Ray cluster (127.0.0.1:1) cannot be reached: no answer within 3 s; start one by `ray start" in sentence


def test_mistakes_are_told(tmp_path, monkeypatch):
    asked = "ablate", "--config", written(tmp_path), "--workdir", tmp_path / "runs", "--on", "ray"
    assert "--processes is not for --on ray" in told(here(*asked, "--processes", "2"))
    assert "--together is not for --on ray" in told(here(*asked, "--together", "2"))
    assert "--script is not for --on ray" in told(here(*asked, "--script", tmp_path / "array.sh"))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "--on ray needs the package ray; run `pip install 'jaxgen[ray]'`" in told(here(*asked))


def test_a_node_that_does_not_see_the_folder_says_so(tmp_path):
    with contextlib.chdir(tmp_path), pytest.raises(UserError, match="does not see /no/such/disk/token; give the"):
        on_ray._stand_in(str(tmp_path), "/no/such/disk/token")
