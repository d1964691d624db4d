"""A run read back to be looked at: its experiment from its own folder, its newest whole checkpoint."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax

from jaxgen.config.document import from_document
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.folder import EXPERIMENT, read_json
from jaxgen.training.step import averaged
from jaxgen.types import Variables


@dataclass(frozen=True)
class Trained:
    """A run's assembly and the variables that it shows at a step."""

    folder: Path
    assembly: Assembly
    variables: Variables
    step: int


def read_experiment(workdir: Path, config: str | None) -> Experiment:
    """The experiment of a run folder; a config file is needed only where it holds classes of the user's own."""
    if config is not None:
        return load_experiment(config, Experiment)
    document = read_json(workdir / EXPERIMENT)
    if document is None:
        raise UserError(f"{workdir} is no run: it has no {EXPERIMENT}; train into it first, or give another --workdir")
    experiment = from_document(document)
    if not isinstance(experiment, Experiment):
        raise UserError(f"{workdir / EXPERIMENT} describes no experiment; restore it, or train into another --workdir")
    return experiment


def load_trained(workdir: Path, config: str | None, say: Callable[[str], None]) -> Trained:
    """The newest whole checkpoint of a run; nothing in the folder is changed."""
    assembly = assemble(read_experiment(workdir, config))
    checkpoints = Checkpoints(workdir, keep=None)
    restored = checkpoints.restore(jax.eval_shape(assembly.init, assembly.key), say)
    checkpoints.close()
    if restored is None:
        raise UserError(f"{workdir} has no whole checkpoint yet; train it first")
    state = jax.device_put(restored[0])
    return Trained(workdir, assembly, averaged(state, assembly.experiment.shown), int(state.step))
