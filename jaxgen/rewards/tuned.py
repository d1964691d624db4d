"""A task under a reward: its game has one turn, the policy's, and its batches are what it draws itself."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

from jaxgen.core.data import Between, Traced
from jaxgen.core.mean import Mean
from jaxgen.core.part import part_shapes
from jaxgen.core.task import Aux, Task, Turn
from jaxgen.errors import UserError
from jaxgen.rewards.functions import looked_through
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.reference import State, at_start, begun
from jaxgen.types import Batch, Key, Spec, Variables

# Examples, {"given", "made"} [N, ...], as plain Python: for each what was given and what was made, a text or an array.
Plain = Callable[[Batch], tuple[Sequence[Any], Sequence[Any]]]


@runtime_checkable
class Tuning(Protocol):
    """How a task is tuned toward a reward: a frozen dataclass that owns the source of its batches and its loss.

    A user's own has these members too. `Samples` is a source for those that have a `reward` and a `batch`.
    """

    distance: str  # the name under which batches hold how far each sample is from the start, [B]
    passes: int  # batches in a row that are one and the same rollout

    def check(self, task: Task, batch_size: int) -> None:
        """UserError, before anything is trained, for a task or a batch size that do not suit."""

    def source(self, task: Task, batch_size: int, prompts: Prompts | None, plain: Plain) -> Traced | Between:
        """What makes the batches: "row", "reward", `distance` [B], "example", and what else the loss reads.

        With `prompts` every sample is made for one of them, without for nothing that is given. The source's state is
        `reference.begun`'s, with more beside where that is needed.
        """

    def loss(self, task: Task, variables: Variables, batch: Batch) -> Mean:
        """What is minimised."""

    def examples(self, task: Task, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is drawn for request["row"] [B], with nothing given, as a batch's samples are."""


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


class Drawing(Tuning, Protocol):
    """A tuning whose batches are traced: drawn and rewarded inside the program."""

    reward: Any  # a Reward
    group: int  # rows side by side that are drawn for one prompt

    def batch(
        self, task: Task, prepared: Any, variables: Variables, start: Variables, prompt: Batch, key: Key
    ) -> Batch:
        """A batch without its "row": the samples for `prompt`, {"row", "given", "reference"}, and their rewards.

        "given" is empty where nothing is given, and then there is no "reference".
        """


@struct.dataclass
class Samples:
    """A traced source: what the task draws as it is at that step, for prompts or for nothing given, and its reward."""

    prepared: Any  # what the reward looks through, unless that is a part
    prompts: Prompts | None
    tuning: Drawing = struct.field(pytree_node=False)
    task: Task = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    @classmethod
    def of(cls, task: Task, tuning: Drawing, batch_size: int, prompts: Prompts | None = None) -> "Samples":
        """UserError when the reward does not suit the task's data."""
        return cls(tuning.reward.prepare(task.spec), prompts, tuning, task, batch_size)

    @property
    def spec(self) -> Spec:
        return self.task.spec

    def init(self, key: Key, moving: Any) -> State:
        kept = kept_rollout(self.tuning, self._made, self.task, key, moving, self.batch_size)
        return begun(key, moving) | kept

    def next(self, state: State, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, State]:
        """`row`, `example`, its `reward` and how far it is from the start, [B] each, and what else the loss reads."""
        passes = self.tuning.passes
        if passes == 1:
            return self._made(state, variables, number, rows), state
        refuse_part(rows, self.batch_size)
        batch = jax.lax.cond(
            number % passes == 0,
            lambda: self._made(state, variables, number // passes, rows),
            lambda: state["rollout"],
        )
        return batch, {**state, "rollout": batch}

    def examples(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is drawn for request["row"] [B], as a batch's samples are."""
        return self.tuning.examples(self.task, variables, request, key)

    def _made(self, state: State, variables: Variables, number: jax.Array, rows: jax.Array) -> Batch:
        key, start = jax.random.fold_in(state["key"], number), at_start(state, variables)
        prompt = prompt_of(self.prompts, state["key"], number, rows, self.batch_size, self.tuning.group)
        prepared = looked_through(self.tuning.reward, self.prepared, variables.parts)
        return {"row": rows, **self.tuning.batch(self.task, prepared, variables, start, prompt, key)}


def prompt_of(
    prompts: Prompts | None, key: Key, number: jax.Array, rows: jax.Array, batch_size: int, group: int
) -> Batch:
    """What the rows `rows` of batch `number` are drawn for: {"row", "given"}, and "reference" where there are prompts.
    """
    if prompts is None:
        return {"row": rows, "given": {}}
    return {"row": rows, **prompts.drawn(key, number, rows, batch_size, group)}


def kept_rollout(
    tuning: Tuning, made: Callable[..., Batch], task: Task, key: Key, moving: Any, batch_size: int
) -> dict[str, Batch]:
    """A place in the source's state for the rollout that several passes are taken over; none for one pass."""
    if tuning.passes == 1:
        return {}
    variables = jax.eval_shape(task.init, key).replace(parts=part_shapes((tuning, task)))
    rows = jnp.arange(batch_size, dtype=jnp.int32)
    shapes = jax.eval_shape(made, begun(key, moving), variables, jnp.int32(0), rows)
    return {"rollout": jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)}


def refuse_part(rows: jax.Array, batch_size: int) -> None:
    """UserError where only some of a batch's rows are here: a rollout that is kept is kept whole."""
    if len(rows) != batch_size:
        raise UserError(
            "rewards.passes above 1 keeps whole rollouts, of which this device or process has a part; use --parallel "
            "jit, and one process where the reward runs on the host"
        )
