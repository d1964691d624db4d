"""An ablation's runs as tasks of a Ray cluster: each on one CPU or GPU of some node, again where its node is lost."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxgen.ablation import Ablation
from jaxgen.config.reading import load_experiment
from jaxgen.environment import set_up_jax
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say
from jaxgen.running.ablating import keep_question, run_folder, run_members, trained_runs
from jaxgen.running.stopping import Stop
from jaxgen.training.folder import LOCK
from jaxgen.training.lock import Lock

_SECONDS_TO_ANSWER = 60.0  # of a cluster, which takes two on an idle machine; Ray itself gives up after 120
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_LET_GO = 180.0  # of a lost node that still runs, and of a network disk's locks of one that does not
_RETRIES = 10  # of a run whose node or worker is lost


class _Interrupted(Exception):
    """A signal that is not the command's has stopped a task, as one of a node that is shut down."""


@contextlib.contextmanager
def ray_cluster() -> Iterator[Any]:
    """The module `ray`, connected to the cluster of $RAY_ADDRESS, or else to the one of this machine.

    UserError where Ray is not installed, or within a minute where the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # it would take the progress of two runs for one line said twice
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError(f"--on ray needs the package {error.name}; run `pip install 'jaxgen[ray]'`") from None
    _refuse_unreachable()
    with contextlib.redirect_stdout(sys.stderr):  # Ray tells of a lost node on stdout, which is for results
        ray.init("auto", logging_level="warning")
        try:
            yield ray
        finally:
            ray.shutdown()


def _refuse_unreachable() -> None:
    """Asked by another process: a call that waits for a cluster that does not answer can't be ended in this one."""
    command = [sys.executable, "-c", "import ray; ray.init('auto', log_to_driver=False)"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER)
    except subprocess.TimeoutExpired:
        why = f"no answer within {_SECONDS_TO_ANSWER:.0f} s"
    else:
        if process.returncode == 0:
            return
        why = process.stderr.strip().rpartition("\n")[2]
    where = os.environ.get("RAY_ADDRESS", "this machine's, for RAY_ADDRESS is not set")
    raise UserError(
        f"the Ray cluster ({where}) cannot be reached: {why.rstrip('.')}; start one by `ray start --head`, or name one "
        "in RAY_ADDRESS=HOST:PORT"
    )


def run_on_ray(ray: Any, config: str, workdir: Path, groups: Sequence[Sequence[str]], stop: Callable[[], bool]) -> None:
    """Train and measure each group of members, which share a run, as a task; what they say comes behind their names.

    On `stop` those that run are asked to save and waited for. UserError where one cannot be run.
    """
    found = ray.cluster_resources()
    gpus = int(found.get("GPU", 0))
    say(f"the Ray cluster has {int(found.get('CPU', 0))} CPUs and {gpus} GPUs; one {'GPU' if gpus else 'CPU'} a run")
    # a worker a task: JAX's devices are set up once in a process
    options = {"num_cpus": 1, "num_gpus": min(gpus, 1), "max_calls": 1, "max_retries": _RETRIES}
    task = ray.remote(**options, retry_exceptions=[_Interrupted])(_train)
    with tempfile.NamedTemporaryFile(dir=workdir, prefix=".seen-by-all-nodes-") as seen:
        asked = os.getcwd(), seen.name, bool(gpus), config, str(workdir)
        waiting = {task.options(name=names[0]).remote(*asked, names): names[0] for names in groups}
        try:
            while waiting and not stop():
                ended, _ = ray.wait(list(waiting), timeout=_SECONDS_BETWEEN_LOOKS)
                for one in ended:
                    _refuse_failed(ray, one, waiting.pop(one))
        finally:
            for one in waiting:
                ray.cancel(one)
            if waiting:
                ray.wait(list(waiting), num_returns=len(waiting))


def _refuse_failed(ray: Any, task: Any, name: str) -> None:
    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(f"{name}: {error.cause}") from None
        raise
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[0]
        raise UserError(f"{name} was lost {_RETRIES + 1} times ({why}); run the same command again") from None


def _train(place: str, seen: str, gpu: bool, config: str, workdir: str, names: Sequence[str]) -> None:
    """What a node does, in a process of its own; Ray's cancelling comes to it as a Ctrl-C."""
    with Stop() as stop:
        _stand_in(place, seen)
        # what environment.json tells
        sys.argv = ["jaxgen", "ablate", "--config", config, "--workdir", workdir, "--on", "ray", "--member", *names]
        held = None if gpu else _on_own_core()  # noqa: F841 - until the process ends
        for sentence in set_up_jax():
            say(sentence)
        ablation, folder = load_experiment(config, Ablation, "ablation"), Path(workdir)
        keep_question(folder, ablation)
        members = [member for member in ablation.members if member.name in names]
        runs = trained_runs(ablation.members)
        used = [one for name in names for one in (runs[name].start, runs[name]) if one is not None]
        _wait_until_free({run_folder(folder, one) for one in used}, stop)
        run_members(ablation, folder, members, stop)
    if stop():
        raise _Interrupted(f"stopped by signal {stop.signal}")


def _stand_in(place: str, seen: str) -> None:
    """In the folder that the command was given in; UserError where it or the ablation's folder is not here too."""
    try:
        os.chdir(place)
        os.stat(seen)
    except OSError as error:
        mend = "give the command on a disk that all nodes have at the same path, and a --workdir on such a one"
        raise UserError(f"the node {platform.node()} does not see {error.filename}; {mend}") from None


def _on_own_core() -> socket.socket | None:
    """Leaves this process one core (Linux), which no other task here has while the socket lives, if one is free.

    Ray counts CPUs and binds to none. On one core a run computes the bits of --processes. (XLA's variable PJRT_NPROC,
    which would leave the core to the system, has a compilation wait for itself.)
    """
    if sys.platform != "linux":
        return None
    cores = list(os.sched_getaffinity(0))
    random.shuffle(cores)  # containers of one machine do not see each other's sockets
    for core in cores:
        held = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            held.bind(f"\0jaxgen-core-{core}")  # a name without a file, gone with the process
            os.sched_setaffinity(0, {core})
            return held
    os.sched_setaffinity(0, {cores[0]})  # more tasks than cores, as `ray start --num-cpus` may allow
    return None


def _wait_until_free(runs: Iterable[Path], stop: Callable[[], bool]) -> None:
    """Until the process that has trained there on a node that is lost does so no more, or for three minutes."""
    ends = time.monotonic() + _SECONDS_TO_LET_GO
    while time.monotonic() < ends and not stop() and any(_is_held(run) for run in runs):
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _is_held(run: Path) -> bool:
    if not run.is_dir():
        return False
    try:
        Lock(run / LOCK).close()
    except UserError:
        return True
    return False
