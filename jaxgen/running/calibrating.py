"""A run's probability of being real: calibrated on one half of held-out examples, reported on the other, kept."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxgen.atomic_write import write_whole
from jaxgen.core.data import Finite, first_or_spread
from jaxgen.core.task import Calibratable
from jaxgen.errors import UserError
from jaxgen.metrics.held_out_probability import Bin, Calibration, fitted, reliability, told_of
from jaxgen.metrics.unmeasured import Figures, TooFew, Unmeasured
from jaxgen.modalities.presents import Spoils, counted_rows, request_for
from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Sampling, never
from jaxgen.running.shown import experiment_document
from jaxgen.running.trained import Trained, load_trained
from jaxgen.training.folder import read_json
from jaxgen.types import Arrays, Batch, Key

CALIBRATION = "calibration.json"
_MOST = 2000  # held-out examples
_ROWS = 250  # that are judged at a time
_NOISE = 8  # folded into a run's key: what its examples are compared with


@dataclass(frozen=True)
class Calibrated:
    """A calibration, what is known of it on other examples, and where it belongs."""

    calibration: Calibration
    figures: Figures
    bins: list[Bin]
    step: int
    split: str


def calibrated(trained: Trained, split: str, stopped: Callable[[], bool] = never) -> Calibrated | Unmeasured | None:
    """The calibration of a critic on every other example of a split and as many samples for the same given.

    Its figures are of the other half. Unmeasured where there are too few; None where nothing is to be calibrated.
    UserError where samples of another run are asked for that cannot be compared.
    """
    assembly, task, against = trained.assembly, trained.assembly.task, trained.assembly.experiment.evaluate.against
    if not isinstance(task, Calibratable) or not isinstance(assembly.data, Finite):
        if against is not None:
            raise UserError(f"evaluate.against is {against}, and this run has no discriminator; leave it out")
        return None
    real = first_or_spread(assembly.data, split, assembly.experiment.evaluate.examples or _MOST)
    if not counted_rows(real):
        return Unmeasured("there is no held-out example")
    outputs = _outputs(trained, _compared(trained, real, stopped))
    first, other = ({name: each[half::2] for name, each in outputs.items()} for half in (0, 1))
    try:
        calibration = fitted(first["real"], first["fake"])
    except TooFew as error:
        return Unmeasured(str(error))
    seen_real, seen_fake = other.pop("real"), other.pop("fake")
    figures = told_of(calibration, seen_real, seen_fake, other)
    probability = calibration.probability(np.concatenate([seen_real, seen_fake]))
    bins = reliability(probability, np.repeat([1.0, 0.0], [len(seen_real), len(seen_fake)]))
    return Calibrated(calibration, figures, bins, trained.step, split)


def _compared(trained: Trained, real: Batch, stopped: Callable[[], bool]) -> dict[str, Batch]:
    """Held-out examples and what they are compared with, for the same given: samples, spoilt examples, another run's.
    """
    assembly, request, key = trained.assembly, request_for(real), jax.random.fold_in(trained.assembly.key, _NOISE - 1)
    made, against = assembly.presentation.made, assembly.experiment.evaluate.against
    sets = {"real": real, "fake": Sampling(assembly)(trained.variables, request, key, stopped)}
    if isinstance(made, Spoils):
        sets |= {name: {**real, "made": arrays} for name, arrays in made.spoilt(real["made"]).items()}
    if against is not None:
        sets["other_run"] = {**real, "made": _samples_of(Path(against), trained, request, key, stopped)}
    return sets


def _samples_of(folder: Path, trained: Trained, request: Batch, key: Key, stopped: Callable[[], bool]) -> Arrays:
    """Another run's samples for a request; UserError where it makes others, or is given others."""
    experiment_document(folder, f"evaluate.against={folder}")  # it is a run
    other = load_trained(folder, None, say)
    if other.assembly.task.spec != trained.assembly.task.spec:
        raise UserError(f"evaluate.against: {folder} was trained on other data; name a run of examples like this one's")
    return Sampling(other.assembly)(other.variables, request, key, stopped)["made"]


def _outputs(trained: Trained, sets: Mapping[str, Batch]) -> dict[str, np.ndarray]:
    """[N] what the critic makes of each set's examples, less what it makes of fresh samples for the same given."""
    task, key = trained.assembly.task, jax.random.fold_in(trained.assembly.key, _NOISE)
    fresh = jax.jit(task.fresh_outputs)
    reference = _by_rows(lambda rows: fresh(trained.variables, rows, key), sets["real"])
    judged = jax.jit(task.outputs)
    found = {name: _by_rows(lambda rows: judged(trained.variables, rows), batch) for name, batch in sets.items()}
    return {name: outputs - reference for name, outputs in found.items()}


def _by_rows(function: Callable[[Batch], jax.Array], batch: Batch) -> np.ndarray:
    """[N] of a batch of any size, by one program."""
    rows, parts = {**request_for(batch), "made": batch["made"]}, []
    count = len(rows["row"])
    for first in range(0, count, _ROWS):
        places = np.minimum(np.arange(first, first + min(count, _ROWS)), count - 1)  # the last one fills the program
        parts.append(np.asarray(function(jax.tree.map(lambda array, at=places: np.asarray(array)[at], rows))))
    return np.concatenate(parts)[:count]


def keep(folder: Path, found: Calibrated) -> None:
    """Writes a calibration into its run's folder; UserError where that cannot be written."""
    content = dataclasses.asdict(found)
    try:
        write_whole(folder / CALIBRATION, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{folder / CALIBRATION} could not be written ({error.strerror}); mend that") from None


def kept(trained: Trained) -> Calibration | None:
    """The calibration in a run's folder; None where there is none of this checkpoint, UserError where it is damaged."""
    document = read_json(trained.folder / CALIBRATION)
    if document is None:
        return None
    try:
        if document["step"] != trained.step:
            return None
        return Calibration(**{name: float(value) for name, value in document["calibration"].items()})
    except (KeyError, AttributeError, TypeError, ValueError):
        place = trained.folder / CALIBRATION
        raise UserError(f"{place} holds no calibration; remove it, and `jaxgen evaluate` makes it again") from None
