"""The ready files for SLURM and Kubernetes: they are what their readers take, and what they start is our command."""
# SPDX-License-Identifier: Apache-2.0

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jaxgen.cli_arguments import parser
from jaxgen.training.processes import check
from tests.commands.command import ROOT, train_small
from tests.commands.test_processes import STREAM, devices, same_figures
from tests.commands.test_resume import end_of

SLURM, KUBERNETES = ROOT / "configs/cluster/slurm.sh", ROOT / "configs/cluster/kubernetes.yaml"


def program(path: Path, *lines: str) -> None:
    """A program of the surroundings that the script calls."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
    path.chmod(0o755)


def submitted(folder: Path, srun: list[str], words: list[str]) -> subprocess.CompletedProcess:
    """The script as SLURM runs it: from the checkout, with `srun` and `scontrol` on the path."""
    program(folder / "bin/srun", *srun)
    program(folder / "bin/scontrol", f'printf "%s\\n" "$@" > {folder}/scontrol')
    program(folder / ".venv/bin/jaxgen", f'exec {sys.executable} -m jaxgen.cli "$@"')
    surroundings = devices(2) | {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_ID": str(os.getpid()),  # the meeting's port comes from it
    }
    return subprocess.run(
        ["bash", SLURM, *words], cwd=folder, env=surroundings, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, False), (2, False), (143, True)])
def test_slurm_runs_a_stopped_run_again_and_no_other(code, requeued, tmp_path):
    words = [str(ROOT / STREAM), str(tmp_path / "run"), "--set", "steps=9", "--mesh", "fsdp=2"]
    done = submitted(tmp_path, [f'printf "%s\\n" "$@" > {tmp_path}/srun', f"exit {code}"], words)
    assert done.returncode == code
    assert (tmp_path / "scontrol").exists() == requeued
    if requeued:
        assert (tmp_path / "scontrol").read_text().split() == ["requeue", str(os.getpid())]
    started = (tmp_path / "srun").read_text().splitlines()
    options = parser().parse_args(started[started.index(".venv/bin/jaxgen") + 1 :])
    assert (options.config, options.workdir, options.mesh) == (words[0], words[1], "fsdp=2")
    assert options.set == ["steps=9"] and options.coordinator is None  # SLURM's own variables say it


def test_slurm_without_a_run_says_what_it_wants(tmp_path):
    done = submitted(tmp_path, ["exit 0"], ["configs/gan/digits.py"])
    assert done.returncode != 0 and "give the folder of the run" in done.stderr


def test_the_pods_of_kubernetes_meet_by_the_name_of_the_first():
    service, job = yaml.safe_load_all(KUBERNETES.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    name, count = job["metadata"]["name"], job["spec"]["completions"]
    assert (service["kind"], job["kind"], job["spec"]["completionMode"]) == ("Service", "Job", "Indexed")
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["selector"] == {"job-name": name}
    assert job["spec"]["parallelism"] == count
    for index in range(count):
        words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["command"]]
        assert words[0] == "jaxgen"
        options = parser().parse_args(words[1:])
        assert (ROOT / options.config).is_file()
        assert options.coordinator.split(":")[0] == f"{name}-0.{job['spec']['template']['spec']['subdomain']}"
        assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
        assert (options.processes, options.process) == (count, index)
        check(options.coordinator, options.processes, options.process)
        (mounted,) = container["volumeMounts"]
        assert options.workdir.startswith(mounted["mountPath"] + "/")


TASKS = """
while [ "${1#--}" != "$1" ]; do shift; done
export SLURM_NTASKS=2 SLURM_STEP_NODELIST=127.0.0.1
for task in 0 1; do SLURM_PROCID=$task SLURM_LOCALID=$task "$@" & tasks[task]=$!; done
code=0
for task in 0 1; do wait ${tasks[task]} || code=$?; done
exit $code
"""


@pytest.mark.slow
def test_tasks_that_know_nothing_but_slurms_variables_train_one_run(tmp_path):
    """JAX's own detection finds the others; the run ends as that of two processes that were told by hand."""
    arguments = train_small(STREAM, tmp_path / "run", "every.checkpoint=6")
    settings = arguments[arguments.index("--set") :]
    done = submitted(tmp_path, TASKS.splitlines(), [str(ROOT / STREAM), str(tmp_path / "run"), *settings])
    assert done.returncode == 0, done.stderr
    assert "task 0 of 2 of SLURM" in done.stderr and "task 1 of 2 of SLURM" in done.stderr
    alone = [sys.executable, "-m", "jaxgen.cli", *train_small(STREAM, tmp_path / "alone", "every.checkpoint=6")]
    subprocess.run(alone, cwd=ROOT, env=devices(4), check=True, capture_output=True, timeout=300)
    same_figures(tmp_path / "alone", tmp_path / "run")
    assert end_of(tmp_path / "run")[0] == 60
