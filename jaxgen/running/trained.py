"""A run read back to be looked at: its experiment from its own folder, its newest whole checkpoint."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxgen.config.changes import set_fields
from jaxgen.config.comparison import differences
from jaxgen.config.document import from_document
from jaxgen.config.reading import load_experiment
from jaxgen.core.masks import join
from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.data_info import info_of, with_kept_vocabulary
from jaxgen.running.rebuilt import rebuilt_average
from jaxgen.running.resuming import material
from jaxgen.running.starting import with_new_leaves
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.folder import EXPERIMENT, read_json
from jaxgen.training.parallel import Parallel
from jaxgen.training.step import averaged
from jaxgen.types import Variables

# fields that say how a trained run is looked at
CHANGEABLE = ("task.sampler", "task.likelihood", "task.importance_samples", "evaluate.")


@dataclass(frozen=True)
class Trained:
    """A run's assembly and the variables that it shows at a step."""

    folder: Path
    assembly: Assembly
    variables: Variables
    source: Any  # the source's state
    step: int


def read_experiment(workdir: Path, config: str | Experiment | None, settings: Sequence[str] = ()) -> Experiment:
    """The experiment of a run folder; it, or its config file (and --set), is needed only for the user's own classes.

    `settings` may change how samples are drawn and how much is evaluated; UserError for what training has fixed.
    """
    document = read_json(workdir / EXPERIMENT)
    if document is None:
        raise UserError(f"{workdir} is no run: it has no {EXPERIMENT}; train into it first, or give another --workdir")
    if config is not None:
        own = config if isinstance(config, Experiment) else load_experiment(config, Experiment)
        experiment = set_fields(own, settings)
        lines = [line for line in material(differences(document, experiment)) if not line.startswith(CHANGEABLE)]
        if lines:
            raise UserError(f"{workdir} was trained otherwise; give its own --set too: " + "; ".join(lines))
        return with_new_leaves(with_kept_vocabulary(experiment, workdir), workdir)
    experiment = from_document(document)
    if not isinstance(experiment, Experiment):
        raise UserError(f"{workdir / EXPERIMENT} describes no experiment; restore it, or train into another --workdir")
    for setting in settings:
        if not setting.startswith(CHANGEABLE):
            field = setting.partition("=")[0]
            raise UserError(
                f"--set {setting}: {field} was fixed when the run was trained; only task.sampler's fields, "
                "task.likelihood's and evaluate's, and task.importance_samples, can be changed here"
            )
    return with_new_leaves(with_kept_vocabulary(set_fields(experiment, settings), workdir), workdir)


def load_trained(
    workdir: Path,
    config: str | Experiment | None,
    say: Callable[[str], None],
    settings: Sequence[str] = (),
    which: str | None = None,
) -> Trained:
    """The newest whole checkpoint of a run, or the one that `which` names, on whatever devices are here.

    Nothing in the folder is changed. `which` is a step, or "best" for the one that the experiment's `best` chose.
    """
    experiment = read_experiment(workdir, config, settings)
    spread = dataclasses.replace(experiment, parallel=_fitting(experiment))
    assembly = assemble(spread, info_of(experiment, workdir), workdir)
    checkpoints = Checkpoints(workdir, keep=None, best=experiment.best)
    step = None if which is None else _step_of(which, checkpoints, experiment)
    like = _shapes_as_trained(assembly, workdir, config, settings)
    try:
        restored = checkpoints.restore(like, say, step)
        if restored is None:
            raise UserError(f"{workdir} has no whole checkpoint yet; train it first")
        state = restored[0]
        shown = averaged(state, experiment.shown)
        if experiment.evaluate.width is not None:
            leaves = rebuilt_average(checkpoints, like, experiment, state, say)
            shown = shown.replace(params=join(leaves, state.params))
    finally:
        checkpoints.close()
    shown = shown.replace(parts=assembly.parts)  # and without the optimiser's state
    variables, source = assembly.devices.put_shown(shown, state.source)
    return Trained(workdir, assembly, variables, source, int(state.step))


def _shapes_as_trained(
    assembly: Assembly, workdir: Path, config: str | Experiment | None, settings: Sequence[str]
) -> TrainState:
    """The shapes of a run's state, which may hold a rollout: by the sampler that it was tuned under."""
    own = [setting for setting in settings if not setting.startswith(CHANGEABLE)]
    if assembly.experiment.rewards is not None and len(own) < len(settings):
        assembly = assemble(read_experiment(workdir, config, own), assembly.info, workdir)
    return jax.eval_shape(assembly.init, assembly.key)


def _step_of(which: str, checkpoints: Checkpoints, experiment: Experiment) -> int:
    steps = checkpoints.steps()
    if which == "best":
        if experiment.best is None:
            raise UserError("--checkpoint best: this experiment has no `best`; give a step, or leave it out")
        best = checkpoints.best()
        if best is None:
            raise UserError(f"--checkpoint best: no checkpoint was evaluated yet; give one of {steps}")
        return best
    if not which.isdecimal() or int(which) not in steps:
        raise UserError(f"--checkpoint {which}: there is none; kept are {', '.join(map(str, steps))}")
    return int(which)


def _fitting(experiment: Experiment) -> Parallel:
    """The run's own way to be spread, whose programs are compiled already; the automatic one where it does not fit."""
    try:
        experiment.parallel.place(experiment.data.batch_size)
    except UserError:
        return Parallel()
    return experiment.parallel
