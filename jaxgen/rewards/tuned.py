"""A task under a reward: its game has one turn, the policy's, and its batches are what it draws itself."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
from flax import struct

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Task, Turn
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.reference import State, at_start, begun
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.types import Batch, Key, Spec, Variables

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
        return (Turn("policy", self.loss),)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        metrics = {name: Mean.of(batch[name]) for name in ("reward", self.tuning.distance)}
        return self.tuning.loss(self.task, variables, batch), Aux(metrics)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return self.task.absorb(shared, statistics)


@struct.dataclass
class Samples:
    """A traced source: what the task draws as it is at that step, with nothing given, and its reward."""

    prepared: Any  # what the reward looks through
    tuning: Tuning = struct.field(pytree_node=False)
    task: Task = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    @classmethod
    def of(cls, task: Task, tuning: Tuning, batch_size: int) -> "Samples":
        """UserError when the reward does not suit the task's data."""
        return cls(tuning.reward.prepare(task.spec), tuning, task, batch_size)

    @property
    def spec(self) -> Spec:
        return self.task.spec

    def init(self, key: Key, moving: Any) -> State:
        return begun(key, moving)

    def next(self, state: State, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, State]:
        """`row`, `example`, its `reward` and how far it is from the start, [B] each, and what else the loss reads."""
        key, start = jax.random.fold_in(state["key"], number), at_start(state, variables)
        return {"row": rows, **self.tuning.batch(self.task, self.prepared, variables, start, rows, key)}, state

    def examples(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is drawn for request["row"] [B], as a batch's samples are."""
        return self.tuning.examples(self.task, variables, request, key)
