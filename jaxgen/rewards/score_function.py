"""Reward tuning by the score function: episodes of the present policy, pushed by how much better than others they did.

The objective is E[reward] - kl * KL(policy || start). Its gradient needs neither the reward's gradient nor that of the
sampler: E[(return - baseline) * grad log p], the return being reward - kl * log(p / p_start) (REINFORCE, Williams 1992;
the leave-one-out baseline, arXiv 2402.14740).
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
from flax import struct

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Policy, Task, Turn
from jaxgen.errors import UserError
from jaxgen.ops.advantages import leave_one_out
from jaxgen.rewards.functions import Reward, refuse_other_shapes
from jaxgen.rewards.reference import State, at_start, begun
from jaxgen.types import Batch, Key, Spec, Variables


@dataclass(frozen=True)
class ScoreFunction:
    """Leave-one-out tuning in groups of `group` episodes toward `reward`, held to the start by `kl` nats' worth."""

    reward: Reward
    kl: float = 0.01
    group: int = 16
    distance = "kl_nats"  # the name of how far the policy is from its start

    def __post_init__(self):
        if self.kl < 0 or self.group < 2:
            raise UserError(f"rewards.kl is {self.kl} and rewards.group {self.group}; give 0 or more, and 2 or more")

    def turn(self, task: Task) -> Turn:
        """The policy's turn; UserError for a task that is no Policy."""
        if not isinstance(task, Policy):
            raise UserError(
                f"a {type(task).__name__} draws without decisions that could be scored; give rewards=Pathwise(...)"
            )

        def loss(variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
            """Its gradient is the objective's; its value says nothing."""
            score = task.score(variables, batch["trajectory"]).sum(axis=1)
            metrics = {name: Mean.of(batch[name]) for name in ("reward", self.distance)}
            return Mean.of(-batch["advantage"] * score), Aux(metrics)

        return Turn("policy", loss)

    def source(self, task: Task, spec: Spec, batch_size: int) -> "Episodes":
        """Episodes of `task`, a batch of them a step; UserError when batch, groups and reward do not fit."""
        if batch_size % self.group:
            raise UserError(f"data.batch_size is {batch_size} and rewards.group {self.group}; let one divide the other")
        return Episodes(self.reward.prepare(spec), self, task, spec, batch_size)


@struct.dataclass
class Episodes:
    """A traced source that draws its batches from the policy as it is, under no class."""

    prepared: Any  # what the reward looks through
    tuning: ScoreFunction = struct.field(pytree_node=False)
    task: Any = struct.field(pytree_node=False)
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    def init(self, key: Key, moving: Any) -> State:
        return begun(key, moving)

    def next(self, state: State, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, State]:
        """`trajectory`, and [B] each: `reward`, `kl_nats` (an estimate without bias), `advantage`."""
        if len(rows) % self.tuning.group:
            raise UserError(
                f"a device has {len(rows)} rows of the batch, which rewards.group={self.tuning.group} does not divide; "
                "lower it, or use --parallel jit"
            )
        trajectory = self.task.rollout(variables, {"row": rows}, jax.random.fold_in(state["key"], number))
        refuse_other_shapes(self.tuning.reward, self.prepared, trajectory.example)
        reward = self.tuning.reward(self.prepared, trajectory.example)
        start = at_start(state, variables)
        kl = (trajectory.log_prob - self.task.score(start, trajectory)).sum(axis=1)
        advantage = leave_one_out(reward - self.tuning.kl * kl, self.tuning.group)
        return {
            "row": rows,
            "trajectory": trajectory,
            "reward": reward,
            self.tuning.distance: kl,
            "advantage": advantage,
        }, state

    def examples(self, variables: Variables, given: Batch, key: Key) -> Batch:
        """What is drawn for given["row"] [B], as a batch's episodes are."""
        return self.task.rollout(variables, given, key).example
