"""Reward tuning by the reward's own gradient, through the sampler to the parameters.

The objective is E[reward] - distance_coef * E[|x - x_start|^2], x and x_start drawn from the same noise. The source
gives the reward's gradient in the sample, an array shaped like the sample; the turn draws once more from the same noise
and passes that gradient on to the parameters, so that its loss is a function of variables and batch alone.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.core.task import Reparameterised, Task
from jaxgen.errors import UserError
from jaxgen.ops.levels import to_unit
from jaxgen.rewards.functions import ClassProbability, Reward, refuse_other_shapes, refuse_unsuited_parts, shown
from jaxgen.rewards.host import OnHost
from jaxgen.rewards.judge import Judge
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.tuned import Plain, Samples
from jaxgen.types import Batch, Key, Variables


@dataclass(frozen=True)
class Pathwise:
    """Tuning toward `reward` through the sampler, minus `distance_coef` times the squared distance from the start."""

    reward: ClassProbability | Judge | Reward
    distance_coef: float = 0.1
    distance = "squared_distance"  # the mean over pixels in [-1, 1], between samples of the same noise
    passes = 1  # the gradient in the samples is right for them alone
    group = 1  # samples for each prompt

    def __post_init__(self):
        if not 0 <= self.distance_coef < math.inf:
            raise UserError(f"rewards.distance_coef is {self.distance_coef}; give 0 or more")

    def check(self, task: Task, batch_size: int) -> None:
        """UserError for a task that is not Reparameterised, or a reward without gradient; any batch size will do."""
        if not isinstance(task, Reparameterised):
            raise UserError(
                f"no gradient goes through the samples of a {type(task).__name__}; give rewards=ScoreFunction(...)"
            )
        if isinstance(self.reward, OnHost):
            raise UserError("a reward on the host has no gradient; give one in JAX, or rewards=ScoreFunction(...)")
        refuse_unsuited_parts(self.reward, task.spec)

    def source(self, task: Reparameterised, batch_size: int, prompts: Prompts | None, plain: Plain) -> Samples:
        return Samples.of(task, self, batch_size, prompts)

    def batch(
        self, task: Reparameterised, prepared: Any, variables: Variables, start: Variables, prompt: Batch, key: Key
    ) -> Batch:
        """`example`, of the prompts or of classes drawn evenly, and [B] each: `key`, the same in every row; `prompt`;
        `reward`; its `gradient` [B, H, W, C]; `start`, the start's picture; `squared_distance` from it."""
        request = {"row": prompt["row"], "given": prompt["given"]}
        example, before = (task.draw(v, request, key) for v in (variables, start))
        seen = shown(example, prompt)
        refuse_other_shapes(self.reward, prepared, seen)
        value = example["made"]["value"]

        def total(value: jax.Array) -> tuple[jax.Array, jax.Array]:
            reward = self.reward(prepared, {**seen, "made": {"value": value}})
            return reward.sum(), reward

        gradient, reward = jax.grad(total, has_aux=True)(value)
        return {
            "example": _whole_levels(example),
            "prompt": prompt["given"],
            "key": jnp.broadcast_to(key, prompt["row"].shape),
            "reward": reward,
            "gradient": gradient,
            "start": before["made"]["value"],
            self.distance: _distance(value, before["made"]["value"], task.spec.made.levels),
        }

    def loss(self, task: Reparameterised, variables: Variables, batch: Batch) -> Mean:
        """Minus the objective, in value and in gradient."""
        request = {"row": batch["row"], "given": batch["prompt"]}
        value = task.draw(variables, request, batch["key"][0])["made"]["value"]
        gain = _row_sum(batch["gradient"] * value)
        gain = batch["reward"] + gain - jax.lax.stop_gradient(gain)
        return Mean.of(self.distance_coef * _distance(value, batch["start"], task.spec.made.levels) - gain)

    def examples(self, task: Reparameterised, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is drawn for request["row"] [B], as a batch's samples are, in integer levels."""
        return _whole_levels(task.draw(variables, request, key))


def _whole_levels(example: Batch) -> Batch:
    return {**example, "made": {"value": jnp.round(example["made"]["value"]).astype(jnp.uint8)}}


def _row_sum(values: jax.Array) -> jax.Array:
    return values.reshape(len(values), -1).sum(axis=1)


def _distance(image: jax.Array, other: jax.Array, levels: int) -> jax.Array:
    """[B] mean squared difference of pictures in levels, told in [-1, 1]."""
    difference = (to_unit(image, levels) - to_unit(other, levels)) ** 2
    return difference.reshape(len(difference), -1).mean(axis=1)
