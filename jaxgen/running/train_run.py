"""One experiment trained in its folder by every process of the run: `jaxgen train` without its command line."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from jaxgen.config.document import to_document
from jaxgen.environment import facts
from jaxgen.experiment import Experiment
from jaxgen.reporting.terminal import say
from jaxgen.running.assembly import assemble
from jaxgen.running.data_info import keep, to_train
from jaxgen.running.other_runs import keep_parts
from jaxgen.running.resuming import taken
from jaxgen.running.starting import keep_new_leaves, with_new_leaves
from jaxgen.running.trackers import refuse_unusable
from jaxgen.running.trainer import Trainer
from jaxgen.training.folder import EXPERIMENT, FollowedFolder, RunFolder, read_json
from jaxgen.training.processes import agree_on, leads


def train_run(
    experiment: Experiment,
    workdir: Path,
    stopped: Callable[[], bool],
    began: float | None = None,
    profile: int = 0,
) -> int:
    """Train `experiment` in `workdir` until its end or until `stopped()`, `profile` steps of it traced.

    Returns the step reached.
    """
    began = time.perf_counter() if began is None else began
    refuse_unusable(experiment.trackers)
    document = to_document(experiment)
    agree_on(document)
    taken(workdir, read_json(workdir / EXPERIMENT), experiment, document)
    experiment = with_new_leaves(to_train(experiment, workdir), workdir)
    assembly = assemble(experiment, workdir=workdir)
    folder = RunFolder(workdir) if leads() else FollowedFolder(workdir)
    speak = say if leads() else lambda sentence: None
    try:
        if leads():  # once more, for a process before us may have begun another
            changes = taken(folder.path, folder.document(), experiment, document)
            changes.note(folder, document)
            for sentence in changes.told(experiment, assembly.game.turns):
                say(sentence)
        folder.describe(document, facts())
        keep(folder, experiment, assembly.info, experiment.rewards is None or assembly.prompted)
        keep_new_leaves(folder, experiment)
        if assembly.placed:
            assembly = dataclasses.replace(assembly, placed=keep_parts(folder, assembly.placed, speak))
        for turn in assembly.game.task.turns():
            if turn.name not in assembly.game.optimisers:
                speak(f"the turn {turn.name!r} is left out: `trainable` leaves it no parameter")
        return Trainer(assembly, folder, speak, began, profile).run(stopped)
    finally:
        folder.close()
