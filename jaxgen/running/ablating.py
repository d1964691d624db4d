"""The members of an ablation trained and measured: each once, failures told, whatever is killed gone on with."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import dataclasses
import functools
import json
import math
import os
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgen.ablation import (
    EXPERIMENT,
    Ablation,
    Budget,
    Design,
    Elements,
    Flops,
    Member,
    Seconds,
    Steps,
    configuration_name,
)
from jaxgen.atomic_write import write_whole
from jaxgen.config.comparison import differences
from jaxgen.config.document import to_document
from jaxgen.errors import UserError, nearest
from jaxgen.experiment import Every, Experiment
from jaxgen.reporting.terminal import say
from jaxgen.running.assembly import assemble
from jaxgen.running.bounded import Stopped
from jaxgen.running.early_stop import EarlyStop, UnknownMetric
from jaxgen.running.estimate import estimate, shapes_of
from jaxgen.running.evaluate_run import CONTEXT, evaluate_trained
from jaxgen.running.shared_programs import SharedPrograms, alike
from jaxgen.running.together import Seat, Together
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import CHANGEABLE, Trained, load_trained
from jaxgen.training.folder import SUMMARY, read_json, spent_in

RUNS, OUTCOMES, MEMBERS, PACES = "members", "outcomes", "members.json", "paces"
SECONDS = "train_seconds"  # a figure beside evaluate's: of the training's steps, compiling apart
MEGABYTES = "training_megabytes"  # another: of a device, as `jaxgen describe` counts them
_LONG_ENOUGH = 2.0  # seconds of steps that a pace is told by
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    """What came of a member: its figures, or the sentence of its failure; seconds are of training and measuring."""

    figures: Mapping[str, Any]
    steps: int
    seconds: float
    failed: str | None = None
    early: bool = False  # ended before its steps were done, for others stood better


def run_folder(workdir: Path, member: Member) -> Path:
    """The run of a member that has one of its own, an ordinary one."""
    return workdir / RUNS / member.name


def started(workdir: Path, member: Member) -> Experiment:
    """The member's experiment; one that starts from a pretrained run names its folder."""
    if member.start is None:
        return member.experiment
    run = run_folder(workdir, member.start).absolute()  # the same from every folder that the command is given in
    return dataclasses.replace(member.experiment, start=dataclasses.replace(member.experiment.start, run=str(run)))


def trained_runs(members: Sequence[Member]) -> dict[str, Member]:
    """By each member's name the one whose run it is measured on: itself, or the first one that is trained alike.

    Such differ in what can be changed of a trained run alone, as task.sampler, where training does not depend on it: it
    does under rewards, and where figures choose a checkpoint or the end.
    """
    found: dict[str, Member] = {}
    first: list[tuple[Member, dict]] = []
    for member in members:
        experiment = member.experiment
        document = to_document(experiment)
        alone = experiment.rewards is not None or experiment.best is not None or experiment.stop is not None
        others = () if alone else (one for one in first if one[0].start == member.start)
        alike = (of for of, other in others if _trained_alike(other, document))
        found[member.name] = run = next(alike, member)
        if run is member:
            first.append((member, document))
    return found


def _trained_alike(one: dict, other: dict) -> bool:
    return all(line.startswith(CHANGEABLE) for line in differences(one, other))


def outcome_of(workdir: Path, member: Member) -> Outcome | None:
    """None where it has not ended. UserError where the file says what this version cannot read."""
    found = read_json(_file(workdir, member))
    if found is None:
        return None
    try:
        return Outcome(**found)
    except TypeError:
        raise UserError(f"{_file(workdir, member)} is no outcome of a member; remove it to measure it again") from None


def is_measured(workdir: Path, member: Member) -> bool:
    """Whether it has figures; what has failed has none."""
    outcome = outcome_of(workdir, member)
    return outcome is not None and outcome.failed is None


def _file(workdir: Path, member: Member) -> Path:
    return workdir / OUTCOMES / f"{member.name}.json"


def put(file: Path, content: str) -> None:
    """Write a file of the ablation's folder, whole. UserError where it cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
    except OSError as error:
        mend = "make room, or name another --workdir, and run the same command again"
        raise UserError(f"{file} could not be written ({error.strerror}); {mend}") from None


def budgeted(budget: Budget | None, workdir: Path, member: Member, stop: Stop) -> Experiment:
    """The member's experiment in as many steps as the budget pays for, at least one; its other fields are its own.

    Stopped where that had to be measured, and was not.
    """
    experiment = started(workdir, member)
    match budget:
        case None:
            return experiment
        case Steps(steps):
            count = steps
        case Elements(elements):
            spec = experiment.data.spec()
            count = elements / (experiment.data.batch_size * spec.made.elements)
        case Flops(flops):
            assembly = assemble(experiment)
            count = flops / estimate(assembly, shapes_of(assembly)).flops
        case Seconds(seconds):
            count = seconds / _step_seconds(workdir, member, stop)
    return dataclasses.replace(experiment, steps=max(1, math.floor(count)))


def _step_seconds(workdir: Path, member: Member, stop: Stop) -> float:
    """Of the member's configuration, as its first run's first steps take them; kept, so that all seeds agree."""
    kept = workdir / PACES / f"{configuration_name(member.named_by)}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            found = Path(folder) / "found.json"
            pace = _measured_pace(started(workdir, member), Path(folder), stop)
            found.write_text(json.dumps({"seconds_per_step": pace}) + "\n")
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.link(found, kept)
    return read_json(kept)["seconds_per_step"]


def _measured_pace(experiment: Experiment, folder: Path, stop: Stop) -> float:
    """Seconds a step, of runs that are long enough to tell."""
    steps, seconds = 2 * experiment.steps_per_call, 0.0
    while seconds < _LONG_ENOUGH:
        steps *= 4
        often = Every(*(steps + 1,) * 4)
        short = dataclasses.replace(experiment, steps=steps, every=often, best=None, stop=None, trackers=())
        train_run(short, folder / str(steps), stop)
        if stop():
            raise Stopped
        seconds = read_json(folder / str(steps) / SUMMARY)["train_seconds"]
    return seconds / steps


def run_members(ablation: Ablation, workdir: Path, members: Sequence[Member], stop: Stop, together: int = 1) -> None:
    """Train and measure those that have no figures yet, one after another, until `stop`; what failed is tried again.

    Of those that share a program so many as `together` says are trained side by side, where that is faster.
    """
    shared, runs = SharedPrograms(), trained_runs(ablation.members)
    groups = _groups(ablation, workdir, [runs[member.name] for member in members], stop, together)
    for member in members:
        if is_measured(workdir, member):
            continue
        if not stop() and (group := groups.pop(runs[member.name].name, None)):
            _train_together(workdir, group, shared, stop)
        if stop():
            return
        say(f"{member.name}: {_told(workdir, ablation, runs)}")
        run = runs[member.name]
        others = [
            run_folder(workdir, other)
            for name, other in runs.items()
            if other.name == name and other is not run and _compared(ablation, run, other)
        ]
        early = EarlyStop(stop, ablation.early, ablation.metrics[0], run_folder(workdir, run), others)
        outcome = _run(ablation, workdir, member, run, early, shared)
        if outcome is not None:
            put(_file(workdir, member), json.dumps(dataclasses.asdict(outcome), indent=2) + "\n")
            refuse_unknown_metrics(ablation, [outcome], all_of_them=False)


def _groups(
    ablation: Ablation, workdir: Path, runs: Sequence[Member], stop: Stop, most: int
) -> dict[str, dict[str, Experiment]]:
    """Runs to be trained side by side, their experiments by name, by the name of each group's first run.

    None where the seconds of a run count, or runs are judged by others on their way.
    """
    timed = isinstance(ablation.budget, Seconds) or any(metric.name == SECONDS for metric in ablation.metrics)
    if most == 1 or timed or ablation.early is not None:
        return {}
    kinds: list[tuple[Experiment, dict[str, Experiment]]] = []
    for run in {run.name: run for run in runs if run.start is None and not is_measured(workdir, run)}.values():
        try:
            experiment = budgeted(ablation.budget, workdir, run, stop)
        except Exception:  # told when it is run by itself
            continue
        kind = alike(experiment)
        group = next((group for of, group in kinds if of == kind and len(group) < most), None)
        if group is None:
            kinds.append((kind, group := {}))
        group[run.name] = experiment
    return {next(iter(group)): group for _, group in kinds if len(group) > 1}


def _train_together(workdir: Path, group: Mapping[str, Experiment], shared: SharedPrograms, stop: Stop) -> None:
    """Train them to their ends, or until `stop`; a run that fails here is tried once more by itself."""

    def train(experiment: Experiment, name: str, seat: Seat) -> None:
        train_run(experiment, workdir / RUNS / name, seat.stopped, shared=seat)

    say(f"{len(group)} runs side by side: {', '.join(group)}")
    Together(shared, stop).train({name: functools.partial(train, one, name) for name, one in group.items()})


def _run(
    ablation: Ablation, workdir: Path, member: Member, run: Member, early: EarlyStop, shared: SharedPrograms
) -> Outcome | None:
    """The member measured on `run`, its own or another's, trained where it has not ended; None: stopped."""
    if run.start is not None and not is_measured(workdir, run.start):
        first = _pretrained(ablation, workdir, run.start, early.stopped, shared)
        if first is None or first.failed is not None:
            return first and dataclasses.replace(first, seconds=0.0, failed=f"{run.start.name} failed: {first.failed}")
    began, folder = time.monotonic(), run_folder(workdir, run)
    try:
        began -= sum(spent_in(folder).values()) if run is member else 0.0  # earlier sessions count as well
        experiment = budgeted(ablation.budget, workdir, run, early.stopped)
        if run is member or not is_measured(workdir, run):
            steps, ended = trained_steps(experiment, workdir, run, early, shared)
        else:  # not judged once more, by others that have come further
            before = outcome_of(workdir, run)
            steps, ended = before.steps, before.early
        asked = dataclasses.replace(started(workdir, member), steps=experiment.steps)
        trained = load_trained(folder, asked, say)
        figures = evaluate_trained(trained, "test", early.stopped, own=run is member)
        plain = {name: value for name, value in figures.items() if name not in CONTEXT} | _costs(ablation, trained)
        return Outcome(plain, steps, _since(began), early=ended)
    except UnknownMetric:
        raise
    except Stopped:
        return None
    except Exception as error:  # the other members are not to suffer from it
        failure = failure_of(error, folder if folder.is_dir() else workdir)
    say(f"{member.name} failed: {failure}")
    return Outcome({}, 0, _since(began), failure)


def _pretrained(
    ablation: Ablation, workdir: Path, member: Member, stop: Stop, shared: SharedPrograms
) -> Outcome | None:
    """What came of a run that members start from, trained where it has not ended; None: stopped."""
    began, folder = time.monotonic(), run_folder(workdir, member)
    early = EarlyStop(stop, None, ablation.metrics[0], folder, ())
    try:
        began -= sum(spent_in(folder).values())
        steps, _ = trained_steps(member.experiment, workdir, member, early, shared)
        outcome = Outcome({}, steps, _since(began))
    except Stopped:
        return None
    except Exception as error:
        outcome = Outcome({}, 0, _since(began), failure_of(error, folder if folder.is_dir() else workdir))
        say(f"{member.name} failed: {outcome.failed}")
    put(_file(workdir, member), json.dumps(dataclasses.asdict(outcome), indent=2) + "\n")
    return outcome


def _costs(ablation: Ablation, trained: Trained) -> dict[str, float]:
    """What training took, as the run tells it; and its memory, where that is asked for: its step is traced for it."""
    seconds = (read_json(trained.folder / SUMMARY) or {}).get(SECONDS)
    costs = {} if seconds is None else {SECONDS: seconds}
    if any(metric.name == MEGABYTES for metric in ablation.metrics):
        assembly = trained.assembly
        costs[MEGABYTES] = estimate(assembly, shapes_of(assembly)).memory.total / 1e6
    return costs


def trained_steps(
    experiment: Experiment, workdir: Path, member: Member, early: EarlyStop, shared: SharedPrograms
) -> tuple[int, bool]:
    """The step that a member was trained to, and whether it was ended there early. Stopped where it was stopped.

    One that is judged behind at its last step has taken all of its steps, and was not ended early.
    """
    steps = train_run(experiment, run_folder(workdir, member), early, shared=shared)
    if early.stopped():
        raise Stopped
    ended = early.ended and steps < experiment.steps
    if ended:
        say(f"{member.name} stands behind the others at step {steps}; it is ended")
    return steps, ended


def _compared(ablation: Ablation, one: Member, other: Member) -> bool:
    """Whether two runs are judged by each other."""
    each = ablation.design is Design.EACH_EXPERIMENT
    return not each or one.levels[EXPERIMENT] == other.levels[EXPERIMENT]


def failure_of(error: Exception, folder: Path) -> str:
    """A sentence about what ended a run; what is no user's mistake leaves its traceback in the folder."""
    if isinstance(error, UserError):
        return str(error)
    put(folder / "error.log", "".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _told(workdir: Path, ablation: Ablation, runs: Mapping[str, Member]) -> str:
    """How many members are done, and about how long the others will take."""
    outcomes = {member.name: outcome_of(workdir, member) for member in ablation.members}
    ended = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
    left = [name for name in outcomes if name not in ended]
    words = f"{len(ended)} of {len(outcomes)} done"
    if ended:
        seconds = seconds_left(ended, left, {name for name, run in runs.items() if run.name == name})
        words += f", the other {len(left)} take about {math.ceil(seconds / 60)} min of one process"
    return words


def seconds_left(ended: Mapping[str, Outcome], left: Sequence[str], own: Collection[str]) -> float:
    """Of one process: those with a run of their `own` and those measured on another's each take what theirs took.

    Before one is measured on another's, that takes what the others took besides the steps of training.
    """
    trained = [outcome for name, outcome in ended.items() if name in own]
    measured = [outcome.seconds for name, outcome in ended.items() if name not in own]
    measured = measured or [outcome.seconds - outcome.figures.get(SECONDS, 0.0) for outcome in trained]
    whole = [outcome.seconds for outcome in trained] or measured
    return sum(statistics.fmean(whole if name in own else measured) for name in left)


def keep_question(workdir: Path, ablation: Ablation) -> None:
    """Keep in the folder what its members are; UserError where it holds others of their names."""
    put(workdir / MEMBERS, json.dumps(same_question(workdir, ablation), indent=1) + "\n")


def same_question(workdir: Path, ablation: Ablation) -> dict[str, Any]:
    """The members that the folder holds, and these; UserError where one of that name there has other settings."""
    early = [repr(ablation.early), repr(ablation.metrics[0])] if ablation.early else []
    members = *ablation.starts, *ablation.members
    asked = {member.name: [to_document(member.experiment), repr(ablation.budget), *early] for member in members}
    kept = read_json(workdir / MEMBERS) or {}
    if changed := sorted(name for name in kept if name in asked and kept[name] != asked[name]):
        before, now = kept[changed[0]], asked[changed[0]]
        lines = differences(before[0], now[0]) or [f"{' '.join(before[1:])} -> {' '.join(now[1:])}"]
        raise UserError(
            f"{workdir} holds another ablation, whose member {changed[0]} has other settings ({'; '.join(lines[:3])}); "
            "give another --workdir"
        )
    return kept | asked


def refuse_unknown_metrics(ablation: Ablation, outcomes: Sequence[Outcome], all_of_them: bool) -> None:
    """UserError where the members that have ended have none of the metrics, or none of them has one of them."""
    found = [set(outcome.figures) for outcome in outcomes if outcome.failed is None]
    lacking = [metric.name for metric in ablation.metrics if not any(metric.name in names for names in found)]
    if found and lacking and (all_of_them or len(lacking) == len(ablation.metrics)):
        if lacking[0] == MEGABYTES:
            raise UserError(
                f"these runs were measured before {MEGABYTES} was asked for; remove {OUTCOMES}/ of the --workdir, and "
                "the same command measures them again"
            )
        raise UserError(
            f"no member has a figure {lacking[0]!r}{nearest(lacking[0], set().union(*found))}; name in metrics what "
            "`jaxgen evaluate` prints"
        )
