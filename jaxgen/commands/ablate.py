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
from jaxgen.running.ablating import is_measured, keep_question, outcome_of, run_members, same_question, trained_runs
from jaxgen.running.ablation_results import PAGE, markdown, results_of, tables, write_results
from jaxgen.running.on_ray import ray_cluster, run_on_ray
from jaxgen.running.searching import QUESTION as SEARCH
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
    _check_options(names, processes, together, script, on)
    ablation = load_experiment(config, Ablation, "ablation")
    chosen = _named(ablation.members, names)
    if (folder / SEARCH).exists():
        raise UserError(f"{workdir} holds the trials of a search; give another --workdir")
    if script is not None:
        same_question(folder, ablation)
        return _write_script(config, workdir, Path(script), _by_run(chosen))
    keep_question(folder, ablation)
    left = [member for member in chosen if not is_measured(folder, member)]
    # Ray takes SIGTERM for itself when it connects: Stop comes after it
    with ray_cluster() if on and left else contextlib.nullcontext() as ray, Stop("after this member's step") as stop:
        every, names_left = _by_run(chosen), {member.name for member in left}
        groups = [of for group in every if (of := [name for name in group if name in names_left])]
        if ray is not None:
            run_on_ray(ray, config, folder, groups, stop)
        elif names or not left or (count := _processes(processes, len(every))) == 1:
            run_members(ablation, folder, left, stop, together or _together())
        else:
            side_by_side(_jobs(config, folder, groups, min(count, len(groups)), together), stop, count)
    if stop():
        say(f"stopped; {workdir} holds what is trained, the same command goes on from there")
        return 128 + stop.signal
    if missing := [member.name for member in chosen if outcome_of(folder, member) is None]:
        raise UserError(f"{missing[0]} has not ended, for its process has failed (see above); run the command again")
    if names:
        return int(not all(is_measured(folder, member) for member in chosen))
    return _show(ablation, folder, config)


def _check_options(
    names: Sequence[str], processes: int | None, together: int | None, script: str | None, on: str | None
) -> None:
    """UserError for options that do not go together, and numbers of nothing."""
    here = {"--processes": processes, "--together": together, "--script": script}
    if on is not None and (option := next((name for name, value in here.items() if value is not None), None)):
        raise UserError(f"{option} is not for --on ray, where each run has a CPU or GPU of the cluster; leave it out")
    if names and processes is not None:
        raise UserError("--processes is not for --member, whose runs one process makes; leave it out")
    for option, value in (("--processes", processes), ("--together", together)):
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}; give at least 1")


def _named(members: Sequence[Member], names: Sequence[str]) -> list[Member]:
    known = {member.name: member for member in members}
    for name in names:
        if name not in known:
            raise UserError(f"--member {name} is no member of this ablation{nearest(name, known)}")
    return [known[name] for name in names] if names else list(members)


def _processes(asked: int | None, members: int) -> int:
    """As many as asked for; on CPUs one a core, elsewhere one."""
    return min(members, asked or (cores() if backend() == "cpu" else 1))


def _together() -> int:
    """On accelerators several, on CPUs one."""
    return 1 if backend() == "cpu" else TOGETHER


def _by_run(members: Sequence[Member]) -> list[list[str]]:
    """The members' names, those together that are measured on one run, or start from one pretrained for them."""
    runs = trained_runs(members)
    groups: dict[str, list[str]] = {}
    for member in members:
        run = runs[member.name]
        groups.setdefault((run.start or run).name, []).append(member.name)
    return list(groups.values())


def _jobs(config: str, folder: Path, groups: Sequence[Sequence[str]], count: int, together: int | None) -> list[Job]:
    """All groups of members dealt out to so many processes in turn."""
    command = sys.executable, "-m", "jaxgen.cli", "ablate", "--config", config, "--workdir", str(folder)
    command = (*command, *(("--together", str(together)) if together else ()), "--member")
    return [
        Job(f"process {number + 1}", (*command, *itertools.chain(*groups[number::count])), passed=(0, 1))
        for number in range(count)  # 1: a member failed, which its outcome says
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
    for sentence in results.failed + results.incomplete:
        say(sentence)
    say(f"the page is {folder / PAGE}")
    return 1 if results.failed else 0
