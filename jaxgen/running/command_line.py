"""The experiment of a command line: its config file's, with what --set, --start, --parallel and --mesh change."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Sequence

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.start import Start
from jaxgen.errors import UserError, nearest
from jaxgen.experiment import Experiment
from jaxgen.training.parallel import Compiler, Parallel


@dataclasses.dataclass(frozen=True)
class Changes:
    """What the command line changes in a config's experiment; None leaves it alone."""

    settings: Sequence[str] = ()  # of --set
    start: str | None = None
    compiler: str | None = None
    mesh: str | None = None


def chosen_experiment(config: str | Experiment, changes: Changes) -> Experiment:
    """The config file's experiment, or one, with what the command line changes in it."""
    own = config if isinstance(config, Experiment) else load_experiment(config, Experiment)
    experiment = set_fields(own, changes.settings)
    start = experiment.start if changes.start is None else started_from(experiment.start, changes.start)
    parallel = chosen_parallel(experiment.parallel, changes.compiler, changes.mesh)
    return dataclasses.replace(experiment, start=start, parallel=parallel)


def started_from(start: Start | None, run: str) -> Start:
    """The experiment's start from another run."""
    return Start(run) if start is None else dataclasses.replace(start, run=run)


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
