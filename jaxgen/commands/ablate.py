"""`jaxgen ablate`: the members of an ablation trained and measured, and what they show, with intervals."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import itertools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxgen.ablation import Ablation, Member
from jaxgen.atomic_write import write_whole
from jaxgen.config.reading import load_experiment
from jaxgen.config.shipped import question
from jaxgen.environment import backend, cores
from jaxgen.errors import UserError, nearest
from jaxgen.output_files import check_output
from jaxgen.reporting.terminal import say
from jaxgen.running.ablating import is_measured, run_members, same_question, trained_runs
from jaxgen.running.ablation_results import PAGE, markdown, results_of, tables, write_results
from jaxgen.running.on_ray import ray_cluster, run_on_ray
from jaxgen.running.side_by_side import Job, side_by_side
from jaxgen.running.slurm_array import array_of
from jaxgen.running.stopping import Stop
from jaxgen.standard_streams import put_out
from jaxgen.training.folder import named_folder

TOGETHER = 8  # runs of one vmapped program on an accelerator, where that is faster


def ablate(
    config: str,
    workdir: str,
    names: Sequence[str],
    processes: int | None,
    together: int | None,
    script: str | None,
    on: str | None,
) -> int:
    """The tables on stdout, the page and results.json in the folder; the exit code.

    1 where a member failed, 128 + the signal's number where it was stopped: the same command goes on from there. With
    `names` those members alone are run, and no table is told.
    """
    folder = named_folder(workdir)
    here = {"--processes": processes, "--together": together, "--script": script}
    if on is not None and (option := next((name for name, value in here.items() if value is not None), None)):
        raise UserError(f"{option} is not for --on ray, where each run has a CPU or GPU of the cluster; leave it out")
    ablation = load_experiment(config, Ablation, "ablation")
    chosen = _named(ablation.members, names)
    if script is not None:
        return _write_script(config, workdir, Path(script), _by_run(chosen))
    same_question(folder, ablation)
    left = [member for member in chosen if not is_measured(folder, member)]
    # Ray takes SIGTERM for itself when it connects: Stop comes after it
    with ray_cluster() if on and left else contextlib.nullcontext() as ray, Stop("after this member's step") as stop:
        groups = _by_run(left)
        if ray is not None:
            run_on_ray(ray, config, folder, groups, stop)
        elif names or not left or (count := _processes(processes, len(groups))) == 1:
            run_members(ablation, folder, left, stop, _together(together))
        else:
            side_by_side(_jobs(config, folder, groups, count, together), stop)
    if stop():
        say(f"stopped; {workdir} holds what is trained, the same command goes on from there")
        return 128 + stop.signal
    return 0 if names else _show(ablation, folder, config)


def _named(members: Sequence[Member], names: Sequence[str]) -> list[Member]:
    known = {member.name: member for member in members}
    for name in names:
        if name not in known:
            raise UserError(f"--member {name} is no member of this ablation{nearest(name, known)}")
    return [known[name] for name in names] if names else list(members)


def _processes(asked: int | None, members: int) -> int:
    """As many as asked for; on CPUs one a core, elsewhere one."""
    if asked is not None and asked < 1:
        raise UserError(f"--processes is {asked}; give at least 1")
    return min(members, asked or (cores() if backend() == "cpu" else 1))


def _together(asked: int | None) -> int:
    """As many as asked for; on accelerators several, on CPUs one."""
    if asked is not None and asked < 1:
        raise UserError(f"--together is {asked}; give at least 1")
    return asked or (1 if backend() == "cpu" else TOGETHER)


def _by_run(members: Sequence[Member]) -> list[list[str]]:
    """The members' names, those together that are measured on one run, or start from one pretrained for them."""
    runs = trained_runs(members)
    groups: dict[str, list[str]] = {}
    for member in members:
        run = runs[member.name]
        groups.setdefault((run.start or run).name, []).append(member.name)
    return list(groups.values())


def _jobs(
    config: str, folder: Path, groups: Sequence[Sequence[str]], count: int, together: int | None
) -> list[Job]:
    """All groups of members dealt out to so many processes in turn."""
    command = sys.executable, "-m", "jaxgen.cli", "ablate", "--config", config, "--workdir", str(folder)
    command = (*command, *(("--together", str(together)) if together else ()), "--member")
    return [
        Job(f"process {number + 1}", (*command, *itertools.chain(*groups[number::count]))) for number in range(count)
    ]


def _write_script(config: str, workdir: str, script: Path, groups: Sequence[Sequence[str]]) -> int:
    check_output(script, (), "--script")
    if script.exists():
        raise UserError(f"{script} is there already; give another --script")
    write_whole(script, array_of(config, workdir, groups))
    say(f"submit it by `sbatch {script}`; when it has ended, the same command without --script tells the tables")
    return 0


def _show(ablation: Ablation, folder: Path, config: str) -> int:
    """1 where a member has failed, which is told."""
    results = results_of(ablation, folder)
    for table in tables(ablation, results):
        put_out(markdown(table) + "\n")
    title = question(config, folder.resolve().name)
    command = shlex.join(["jaxgen", "ablate", "--config", config, "--workdir", str(folder)])
    write_results(ablation, results, folder, title, command)
    for sentence in results.failed:
        say(sentence)
    say(f"the page is {folder / PAGE}")
    return 1 if results.failed else 0
