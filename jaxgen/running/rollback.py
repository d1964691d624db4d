"""When a run goes back to its last good checkpoint, and what it says when that no longer helps."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from pathlib import Path

from jaxgen.core.task import Turn
from jaxgen.training.guard import SKIPPED, SPENT, Guard
from jaxgen.types import Metrics


class PatienceSpent(Exception):
    """So many updates of a turn were skipped in a row, up to a step, that going on is in vain."""

    def __init__(self, turn: str, step: int):
        super().__init__(f"the patience with {turn} was spent by step {step}")
        self.turn, self.step = turn, step


def watched(step: int, metrics: Metrics, turns: Sequence[Turn]) -> Metrics:
    """The metrics of the call that ended at `step` but for those meant for us. PatienceSpent where one says so."""
    for turn in turns:
        name = SPENT if len(turns) == 1 else f"{turn.name}/{SPENT}"
        if float(metrics[name].total) > 0:
            raise PatienceSpent(turn.name, step)
    return {name: mean for name, mean in metrics.items() if name.split("/")[-1] != SPENT}


def noteworthy(values: dict[str, float], rollbacks: int) -> dict[str, float]:
    """A line's values: the share of updates skipped only where some were, and how many rollbacks after the first."""
    shown = {name: value for name, value in values.items() if value or name.split("/")[-1] != SKIPPED}
    return shown | ({"rollbacks": rollbacks} if rollbacks else {})


def stopped_sentence(folder: Path, guard: Guard, turn: str, rollbacks: Sequence[int], kept: Sequence[int]) -> str:
    """Why the run in `folder` stops, where, what is saved of it, and what to try."""
    limit = "" if guard.norm_limit is None else f" or had a norm above guard.norm_limit={guard.norm_limit}"
    before = "".join(f", {step}" for step in rollbacks[:-1])
    tries = f" (as before, up to step{before[1:]})" if before else ""
    saved = f"the checkpoint of step {kept[0]} is whole" if kept else "there is no checkpoint yet"
    start = f", from these weights with --start {folder}" if kept else ""
    return (
        f"the loss, the gradient or the update of {turn!r} was not finite{limit} in {guard.patience} updates in "
        f"a row up to step {rollbacks[-1]}{tries}, and {guard.rollbacks} rollbacks did not help; {saved}: try a lower "
        f"optimisers.{turn}.learning_rate or a clip (optimisers.{turn}.clip=1) in another --workdir{start}"
    )
