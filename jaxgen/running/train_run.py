"""One experiment trained in its folder by every process of the run: `jaxgen train` without its command line."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

from jaxgen.config.document import to_document
from jaxgen.config.helpers import helper_digests
from jaxgen.core.data import Data, Understood
from jaxgen.environment import facts
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.reporting.terminal import say
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.changed_data import as_begun, check_data, keep_changes
from jaxgen.running.data_info import keep, to_train
from jaxgen.running.other_runs import keep_parts
from jaxgen.running.resuming import taken
from jaxgen.running.shared_programs import SharedPrograms
from jaxgen.running.starting import keep_new_leaves, with_new_leaves
from jaxgen.running.together import Seat
from jaxgen.running.trackers import refuse_unusable
from jaxgen.running.trainer import Trainer
from jaxgen.running.untrained import leave_as_found, take_over
from jaxgen.training.even_batches import idle_devices
from jaxgen.training.folder import ENVIRONMENT, EXPERIMENT, FollowedFolder, RunFolder, read_json
from jaxgen.training.processes import agree_on, leads


def train_run(
    experiment: Experiment,
    workdir: Path,
    stopped: Callable[[], bool],
    began: float | None = None,
    profile: int = 0,
    shared: SharedPrograms | Seat | None = None,
) -> int:
    """Train `experiment` in `workdir` until its end or until `stopped()`, `profile` steps of it traced.

    Returns the step reached. Runs of one process that are given the same `shared` compile what they share once.
    """
    began = time.perf_counter() if began is None else began
    refuse_unusable(experiment.trackers)
    document = to_document(experiment)
    if leads() and (remark := take_over(workdir, document)):
        say(remark)
    agree_on(document)  # from here on all processes see the folder as it is now
    taken(workdir, read_json(workdir / EXPERIMENT), experiment, document)
    experiment = as_begun(with_new_leaves(to_train(experiment, workdir), workdir), workdir)
    assembly = assemble(experiment, workdir=workdir)
    folder = RunFolder(workdir) if leads() else FollowedFolder(workdir)
    speak = say if leads() else lambda sentence: None
    try:
        for sentence in _remarks(folder, assembly):
            speak(sentence)
        if leads():  # once more, for a process before us may have begun another
            changes = taken(folder.path, folder.document(), experiment, document)
            changes.note(folder, document)
            for sentence in (*changes.told(experiment, assembly.game.turns), *_changed_helpers(folder.path)):
                say(sentence)
        folder.describe(document, facts() | {"helpers": helper_digests()})
        reads = experiment.rewards is None or assembly.prompted
        if reads:
            _look_at(experiment.data, folder, stopped, speak)
        keep(folder, experiment, assembly.info, reads)
        keep_new_leaves(folder, experiment)
        if assembly.placed:
            assembly = dataclasses.replace(assembly, placed=keep_parts(folder, assembly.placed, speak))
        return Trainer(assembly, folder, speak, began, profile, shared).run(stopped)
    except UserError:
        if isinstance(folder, RunFolder):
            leave_as_found(folder)
        raise
    finally:
        folder.close()


def _look_at(data: Data, folder: RunFolder | FollowedFolder, stopped: Callable[[], bool], say: Callable) -> None:
    """Say how the data are understood and what of them has changed; UserError where some are bad."""
    if not leads():
        return
    if isinstance(data, Understood):
        for sentence in data.understood():
            say(f"data: {sentence}")
    check_data(folder, data, say, stopped)
    keep_changes(folder, data, say)


def _remarks(folder: RunFolder | FollowedFolder, assembly: Assembly) -> Iterator[str]:
    """What the user should know of the folder, of idle devices and of idle players before the run begins."""
    if folder.remark:
        yield folder.remark
    experiment, game = assembly.experiment, assembly.game
    how = jax.device_count(), game.batch_size, experiment.accumulate
    if idle := idle_devices(experiment.parallel, assembly.devices.count, *how):
        yield idle
    for turn in game.task.turns():
        if turn.name not in game.optimisers:
            yield f"the turn {turn.name!r} is left out: `trainable` leaves it no parameter"


def _changed_helpers(workdir: Path) -> Iterator[str]:
    """What to say of modules beside the experiment file that are others than when the run was trained last.

    Of the user's own classes experiment.json holds the source; of what those call it knows nothing.
    """
    match read_json(workdir / ENVIRONMENT):
        case {"helpers": dict(before)}:
            now = helper_digests()
            for name in sorted(name for name in before if before[name] != now.get(name)):
                yield f"{name}, which the experiment file imports, has changed since {workdir} was trained last"
