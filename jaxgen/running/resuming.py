"""What may change when a run goes on: nothing that alters what it has computed; all else is taken and noted."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxgen.config.comparison import differences
from jaxgen.core.data import Located
from jaxgen.core.task import Turn
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.data_info import same_data
from jaxgen.training.checkpoint_files import reached
from jaxgen.training.folder import EXPERIMENT, FollowedFolder, RunFolder
from jaxgen.training.schedules import rate_of

CHANGES = "changes.jsonl"  # what was taken, and at which step
_INTERVALS = ("every", "keep:", "steps:", "steps_per_call:")
_READING = ("data.residence:", "data.workers:", "data.skip_bad:")


@runtime_checkable
class Rated(Protocol):
    """An optimiser with a learning rate, or a schedule of it."""

    learning_rate: Any


@dataclass(frozen=True)
class Taken:
    """The changes that a run goes on with, the step that it has reached, and the steps that it was to make before."""

    lines: tuple[str, ...] = ()
    step: int = 0
    steps: int = 0

    def note(self, folder: RunFolder | FollowedFolder, document: dict[str, Any]) -> None:
        """Write the experiment as it is now into the run's folder, and beside it what has changed."""
        if self.lines:
            folder.write(EXPERIMENT, json.dumps(document, indent=2) + "\n")
            folder.log(CHANGES, {"step": self.step, "changed": list(self.lines)})

    def told(self, experiment: Experiment, turns: Sequence[Turn]) -> Iterator[str]:
        """What the user should know of the changes."""
        if self.lines:
            yield f"changed, and noted in {EXPERIMENT}: " + "; ".join(self.lines)
        for turn in turns if self.steps != experiment.steps and self.lines else ():
            rates = [
                rate_at(experiment.optimisers[turn.name], steps * turn.repeat, self.step * turn.repeat)
                for steps in (self.steps, experiment.steps)
            ]
            if None not in rates and rates[0] != rates[1]:
                yield (
                    f"the schedule is that of {experiment.steps} steps now: at step {self.step} the learning rate of "
                    f"{turn.name!r} goes from {rates[0]:.3g} to {rates[1]:.3g}"
                )


def material(lines: Iterable[str]) -> list[str]:
    """The differences between experiments that what was computed depends on."""
    return [line for line in lines if not line.startswith(("parallel", *_INTERVALS, *_READING))]


def taken(workdir: Path, before: dict | None, experiment: Experiment, document: dict) -> Taken:
    """What changes when the run in `workdir`, of the experiment `before`, goes on as another.

    UserError where that alters what was computed, and where the folder is another experiment's.
    """
    newest = reached(workdir)
    if before is None:
        if newest is not None:
            raise UserError(f"{workdir} has checkpoints but no {EXPERIMENT}; restore it, or give another --workdir")
        return Taken()
    lines = differences(before, document)
    refused = [line for line in material(lines) if not line.startswith("best")]
    if any(line.startswith("best") for line in lines) and _validates(before) != _validates(document):
        refused.append("best, for which examples are set aside from the training data")
    if moved := [line for line in refused if line.startswith(_places(experiment))]:
        if same_data(experiment, workdir):
            refused = [line for line in refused if line not in moved]
        else:
            refused = [f"{line} (other data)" if line in moved else line for line in refused]
    if refused:
        raise UserError(
            f"{workdir} belongs to another experiment; give another --workdir, or undo: " + "; ".join(refused)
        )
    step = newest or 0
    if experiment.steps < step:
        raise UserError(f"steps is {experiment.steps}, and {workdir} has reached step {step}; give at least {step}")
    return Taken(tuple(lines), step, before["fields"].get("steps", experiment.steps))


def rate_at(optimiser: Any, updates: int, update: int) -> float | None:
    """The learning rate of an update, counted from 0, in a run of `updates`; None where the optimiser tells none.

    Updates that were skipped are counted here, and by an optimiser they are not.
    """
    if not isinstance(optimiser, Rated):
        return None
    rate = rate_of(optimiser.learning_rate, updates)
    if callable(rate):
        return float(rate(update))
    return float(rate) if isinstance(rate, int | float) else None


def _validates(document: dict) -> bool:
    """Whether an experiment chooses by a validation split, which may be set aside from what is trained on."""
    return any(document["fields"].get(field) is not None for field in ("best", "stop"))


def _places(experiment: Experiment) -> tuple[str, ...]:
    data = experiment.data
    return tuple(f"data.{place}:" for place in data.places) if isinstance(data, Located) else ()
