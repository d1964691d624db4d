"""Reward tuning by the reward's own gradient, through the sampler to the parameters.

The objective is E[reward] - hold * E[|x - x_start|^2], x and x_start drawn from the same noise. The source hands over
the reward's gradient in the sample, an array shaped like the sample; the turn draws once more from the same noise and
lets that gradient go on to the parameters, so that its loss is a function of variables and batch alone.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Reparameterised, Task, Turn
from jaxgen.errors import UserError
from jaxgen.ops.pictures import to_unit
from jaxgen.rewards.functions import Reward, refuse_other_shapes
from jaxgen.rewards.reference import State, at_start, begun
from jaxgen.types import Batch, Key, Spec, Variables


@dataclass(frozen=True)
class Pathwise:
    """Tuning toward `reward` through the sampler, held to the start by `hold` for each unit of squared distance."""

    reward: Reward
    hold: float = 0.1
    distance = "squared_distance"  # the mean over pixels in [-1, 1], between samples of the same noise

    def __post_init__(self):
        if self.hold < 0:
            raise UserError(f"rewards.hold is {self.hold}; give 0 or more")

    def turn(self, task: Task) -> Turn:
        """The policy's turn; UserError for a task that is not Reparameterised."""
        if not isinstance(task, Reparameterised):
            raise UserError(
                f"no gradient goes through the samples of a {type(task).__name__}; give rewards=ScoreFunction(...)"
            )

        def loss(variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
            image = task.draw(variables, {"row": batch["row"]}, batch["key"][0])["image"]
            gain = _row_sum(batch["gradient"] * image)
            gain = batch["reward"] + gain - jax.lax.stop_gradient(gain)  # the value and the gradient of the reward
            metrics = {name: Mean.of(batch[name]) for name in ("reward", self.distance)}
            return Mean.of(self.hold * _distance(image, batch["start"], task.spec.levels) - gain), Aux(metrics)

        return Turn("policy", loss)

    def source(self, task: Task, spec: Spec, batch_size: int) -> "Draws":
        """Samples of `task` with the reward's gradient in them, a batch a step."""
        return Draws(self.reward.prepare(spec), self, task, spec, batch_size)


@struct.dataclass
class Draws:
    """A traced source that draws its batches from the generator as it is, of classes drawn evenly."""

    prepared: Any  # what the reward looks through
    tuning: Pathwise = struct.field(pytree_node=False)
    task: Any = struct.field(pytree_node=False)
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    def init(self, key: Key, moving: Any) -> State:
        return begun(key, moving)

    def next(self, state: State, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, State]:
        """[B] each: `key`, the same in every row; `reward`; its `gradient` [B, H, W, C]; `start`, the start's picture;
        `squared_distance` from it."""
        key, tuning = jax.random.fold_in(state["key"], number), self.tuning
        start = at_start(state, variables)
        example, before = (self.task.draw(v, {"row": rows}, key) for v in (variables, start))
        refuse_other_shapes(tuning.reward, self.prepared, example)

        def total(image: jax.Array) -> tuple[jax.Array, jax.Array]:
            reward = tuning.reward(self.prepared, {**example, "image": image})
            return reward.sum(), reward

        gradient, reward = jax.grad(total, has_aux=True)(example["image"])
        return {
            "row": rows,
            "key": jnp.broadcast_to(key, rows.shape),
            "reward": reward,
            "gradient": gradient,
            "start": before["image"],
            tuning.distance: _distance(example["image"], before["image"], self.spec.levels),
        }, state

    def examples(self, variables: Variables, given: Batch, key: Key) -> Batch:
        """The pictures that are drawn for given["row"] [B], as a batch's samples are, in integer levels."""
        return {"image": jnp.round(self.task.draw(variables, given, key)["image"]).astype(jnp.uint8)}


def _row_sum(values: jax.Array) -> jax.Array:
    return values.reshape(len(values), -1).sum(axis=1)


def _distance(image: jax.Array, other: jax.Array, levels: int) -> jax.Array:
    """[B] mean squared difference of pictures in levels, told in [-1, 1]."""
    difference = (to_unit(image, levels) - to_unit(other, levels)) ** 2
    return difference.reshape(len(difference), -1).mean(axis=1)
