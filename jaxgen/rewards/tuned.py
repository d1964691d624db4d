"""A task's game under a reward: the same variables, one turn, the policy's."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

from jaxgen.core.task import Task, Turn
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.types import Key, Variables

Tuning = ScoreFunction | Pathwise


@dataclass(frozen=True)
class TunedGame:
    """What a step needs of a task, with the policy's turn in place of the task's own."""

    task: Task
    tuning: Tuning

    def init(self, key: Key) -> Variables:
        return self.task.init(key)

    def rows(self, batch_size: int) -> None:
        """Episodes begin at the beginning: no state runs on from batch to batch."""
        return None

    def turns(self) -> tuple[Turn, ...]:
        return (self.tuning.turn(self.task),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return self.task.absorb(shared, statistics)
