"""`jaxgen train`: begin a run, or go on with it."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from jaxgen.config.changes import set_fields
from jaxgen.config.comparison import differences
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.environment import facts
from jaxgen.errors import UserError, nearest
from jaxgen.experiment import Experiment
from jaxgen.reporting.terminal import say
from jaxgen.running.assembly import assemble
from jaxgen.running.trained import material
from jaxgen.running.trainer import Trainer
from jaxgen.running.vocabulary import keep, trained_with
from jaxgen.training.folder import EXPERIMENT, FollowedFolder, RunFolder, read_json
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.processes import agree_on, leads


class Stop:
    """True from the first Ctrl-C, SIGTERM or lost terminal on, so that the run can save; a second ends it at once."""

    def __init__(self):
        self.signal: int | None = None

    def __enter__(self) -> "Stop":
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup a lost terminal is no reason to stop
            numbers.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        with contextlib.suppress(OSError):  # no print here: a signal may come in the middle of one
            os.write(2, b"jaxgen: stopping after this call and saving; a second signal ends it at once\n")

    def __call__(self) -> bool:
        return self.signal is not None


@dataclasses.dataclass(frozen=True)
class Changes:
    """What the command line changes in a config's experiment; None leaves it alone."""

    settings: Sequence[str] = ()  # of --set
    start: str | None = None
    compiler: str | None = None
    mesh: str | None = None


def train(config: str, workdir: str, changes: Changes, began: float, profile: int = 0) -> int:
    """The exit code: 0 when the run has ended, 128 + the signal's number when it was stopped and saved."""
    if profile < 0:
        raise UserError(f"--profile is {profile}; give the number of steps to trace, or leave it out")
    experiment = chosen_experiment(config, changes)
    with Stop() as stop:
        step = run(experiment, Path(workdir), stop, began, profile)
    if step == experiment.steps:
        return 0
    say(f"stopped at step {step} of {experiment.steps}, which is saved; the same command goes on from there")
    return 128 + (stop.signal or signal.SIGTERM)  # where another process was told to stop


def run(experiment: Experiment, workdir: Path, stopped, began: float | None = None, profile: int = 0) -> int:
    """Train `experiment` in `workdir` until its end or until `stopped()`, `profile` steps of it traced.

    Returns the step reached.
    """
    began = time.perf_counter() if began is None else began
    document = to_document(experiment)
    agree_on(document)
    refuse_other(workdir, read_json(workdir / EXPERIMENT), document)
    experiment = trained_with(experiment, workdir)
    assembly = assemble(experiment)
    folder = RunFolder(workdir) if leads() else FollowedFolder(workdir)
    speak = say if leads() else lambda sentence: None
    try:
        if leads():
            refuse_other(folder.path, folder.document(), document)  # a process before us may have begun another
        folder.describe(document, facts())
        keep(folder, experiment)
        for turn in assembly.game.task.turns():
            if turn.name not in assembly.game.optimisers:
                speak(f"the turn {turn.name!r} is left out: `trainable` leaves it no parameter")
        return Trainer(assembly, folder, speak, began, profile).run(stopped)
    finally:
        folder.close()


def refuse_other(workdir: Path, before: dict | None, document: dict) -> None:
    """UserError when the folder belongs to another experiment; how it is spread over devices may change."""
    if before is None:
        if any((workdir / "checkpoints").glob("[0-9]*")):
            raise UserError(f"{workdir} has checkpoints but no experiment.json; restore it, or give another --workdir")
        return
    lines = material(differences(before, document))
    if lines:
        raise UserError(
            f"{workdir} belongs to another experiment; give another --workdir, or undo: " + "; ".join(lines)
        )


def chosen_experiment(config: str, changes: Changes) -> Experiment:
    """The config file's experiment with what the command line changes in it."""
    experiment = set_fields(load_experiment(config, Experiment), changes.settings)
    start = experiment.start if changes.start is None else changes.start
    parallel = chosen_parallel(experiment.parallel, changes.compiler, changes.mesh)
    return dataclasses.replace(experiment, start=start, parallel=parallel)


def chosen_parallel(parallel: Parallel, compiler: str | None, mesh: str | None) -> Parallel:
    """The experiment's own way to spread a run, with what --parallel and --mesh say in its place."""
    if compiler is not None:
        parallel = dataclasses.replace(parallel, compiler=Compiler(compiler))
    for part in mesh.split(",") if mesh else ():
        axis, _, size = part.partition("=")
        axes = ("data", "fsdp", "tensor")
        if axis not in axes:
            raise UserError(f"--mesh {mesh}: {axis!r} is no axis of the mesh{nearest(axis, axes)}")
        if not size.isdecimal() or int(size) < 1:
            raise UserError(f"--mesh {mesh}: give each axis a size of at least 1, such as data=2,fsdp=2")
        parallel = dataclasses.replace(parallel, **{axis: int(size)})
    return parallel
