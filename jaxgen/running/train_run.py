"""One experiment trained in its folder by every process of the run: `jaxgen train` without its command line."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Callable
from pathlib import Path

from jaxgen.config.comparison import differences
from jaxgen.config.document import to_document
from jaxgen.environment import facts
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.reporting.terminal import say
from jaxgen.running.assembly import assemble
from jaxgen.running.data_info import keep, to_train
from jaxgen.running.start import keep_new_leaves, with_new_leaves
from jaxgen.running.trained import material
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
    document = to_document(experiment)
    agree_on(document)
    refuse_other(workdir, read_json(workdir / EXPERIMENT), document)
    experiment = with_new_leaves(to_train(experiment, workdir), workdir)
    assembly = assemble(experiment)
    folder = RunFolder(workdir) if leads() else FollowedFolder(workdir)
    speak = say if leads() else lambda sentence: None
    try:
        if leads():
            refuse_other(folder.path, folder.document(), document)  # a process before us may have begun another
        folder.describe(document, facts())
        keep(folder, experiment, assembly.info)
        keep_new_leaves(folder, experiment)
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
