"""A run read back to be looked at: its experiment from its own folder, its newest whole checkpoint."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from jaxgen.config.changes import set_fields
from jaxgen.config.comparison import differences
from jaxgen.config.document import from_document
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.folder import EXPERIMENT, read_json
from jaxgen.training.parallel import Parallel
from jaxgen.training.step import averaged
from jaxgen.types import Variables


@dataclass(frozen=True)
class Trained:
    """A run's assembly and the variables that it shows at a step."""

    folder: Path
    assembly: Assembly
    variables: Variables
    step: int


def read_experiment(workdir: Path, config: str | None, settings: Sequence[str] = ()) -> Experiment:
    """The experiment of a run folder; a config file (and its --set) is needed only for classes of the user's own."""
    document = read_json(workdir / EXPERIMENT)
    if document is None:
        raise UserError(f"{workdir} is no run: it has no {EXPERIMENT}; train into it first, or give another --workdir")
    if config is not None:
        experiment = set_fields(load_experiment(config, Experiment), settings)
        lines = [line for line in differences(document, experiment) if not line.startswith("parallel")]
        if lines:
            raise UserError(f"{workdir} was trained otherwise; give its own --set too: " + "; ".join(lines))
        return experiment
    experiment = from_document(document)
    if not isinstance(experiment, Experiment):
        raise UserError(f"{workdir / EXPERIMENT} describes no experiment; restore it, or train into another --workdir")
    return experiment


def load_trained(
    workdir: Path, config: str | None, say: Callable[[str], None], settings: Sequence[str] = ()
) -> Trained:
    """The newest whole checkpoint of a run, on whatever devices are here; nothing in the folder is changed."""
    experiment = read_experiment(workdir, config, settings)
    assembly = assemble(dataclasses.replace(experiment, parallel=Parallel()))
    checkpoints = Checkpoints(workdir, keep=None)
    restored = checkpoints.restore(jax.eval_shape(assembly.init, assembly.key), say)
    checkpoints.close()
    if restored is None:
        raise UserError(f"{workdir} has no whole checkpoint yet; train it first")
    state = restored[0]
    variables = jax.device_put(averaged(state, experiment.shown), jax.devices()[0])  # not the optimiser's state
    return Trained(workdir, assembly, variables, int(state.step))
