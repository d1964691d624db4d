"""The rows of a report that are no models: real examples and simple baselines, measured as the runs' samples are."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxgen.core.data import Data, Finite, first_or_spread
from jaxgen.errors import UserError
from jaxgen.metrics.unmeasured import Figures, Unmeasured
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Measured
from jaxgen.running.data_info import DataInfo, info_of
from jaxgen.running.figures import MEASURED, in_json
from jaxgen.running.trained import read_experiment

_UNREADABLE = "reference rows"  # in their place where the data cannot be read any more


def references_of(workdirs: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The reference rows, by name, of each data set that the samples of one of the runs are measured against.

    A row is as a run's summary is: figures, null where there is a reason against one, and the reasons in "unmeasured".
    Beside them stand the name of its "data" and how many training and held-out examples it was made of. Of large sets
    a bounded number is read. Data that cannot be read any more have one row without a figure and with the reason.
    """
    rows: dict[str, dict[str, Any]] = {}
    known: set[tuple[type, str]] = set()
    for workdir in workdirs:
        try:
            data, info, presentation = _of_run(workdir)
        except UserError:
            continue  # a run of the user's own classes, or one that has kept nothing yet, has no reference rows
        kind = type(presentation.made), data.name
        measured = isinstance(presentation.made, Measured) and presentation.made.training
        if kind in known or not measured or not isinstance(data, Finite):
            continue
        known.add(kind)
        for name, row in _rows(data, info, presentation).items():
            rows[f"{name}, {data.name}" if name in rows else name] = {**in_json(row), "data": data.name}
    return rows


def _of_run(workdir: Path) -> tuple[Data, DataInfo, Presentation]:
    """A run's data, and how they are presented by what the run has kept of them."""
    experiment = read_experiment(workdir, None)
    info = info_of(experiment, workdir)
    return experiment.data, info, Presentation.of(info.spec, info.meanings(experiment.data))


def _rows(data: Data, info: DataInfo, presentation: Presentation) -> dict[str, Figures]:
    try:
        if data.spec() != info.spec:
            return {_UNREADABLE: {"all figures": Unmeasured(f"{data.name} has changed since the run was begun")}}
        train = first_or_spread(data, "train", presentation.made.training)
        held_out = first_or_spread(data, "test", MEASURED)
        return presentation.references(train, held_out)
    except UserError as error:
        return {_UNREADABLE: {"all figures": Unmeasured(str(error))}}
