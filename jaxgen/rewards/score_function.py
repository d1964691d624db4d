"""Reward tuning by the score function: episodes of the present policy, pushed by how much better than others they did.

The objective is E[reward] - kl_coef * KL(policy || start). Its gradient needs neither the reward's gradient nor that of
the sampler: E[(return - baseline) * grad log p], the return being reward - kl_coef * log(p / p_start) (REINFORCE,
Williams 1992; the leave-one-out baseline, arXiv 2402.14740).
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax

from jaxgen.core.mean import Mean
from jaxgen.core.task import Policy, Task
from jaxgen.errors import UserError
from jaxgen.ops.advantages import leave_one_out
from jaxgen.rewards.functions import Reward, refuse_other_shapes
from jaxgen.types import Batch, Key, Variables


@dataclass(frozen=True)
class ScoreFunction:
    """Leave-one-out tuning in groups of `group` episodes toward `reward`, less `kl_coef` times the KL."""

    reward: Reward
    kl_coef: float = 0.01
    group: int = 16
    distance = "kl_nats"  # the name of how far the policy is from its start

    def __post_init__(self):
        if self.kl_coef < 0 or self.group < 2:
            raise UserError(
                f"rewards.kl_coef is {self.kl_coef} and rewards.group {self.group}; give 0 or more, and 2 or more"
            )

    def check(self, task: Task, batch_size: int) -> None:
        """UserError for a task whose samples are no policy's, and for batches that groups do not fit."""
        if not isinstance(task, Policy):
            raise UserError(
                f"a {type(task).__name__} draws without actions that could be scored; give rewards=Pathwise(...)"
            )
        task.check_policy()
        if batch_size % self.group:
            raise UserError(f"data.batch_size is {batch_size} and rewards.group {self.group}; let one divide the other")

    def batch(
        self, task: Policy, prepared: Any, variables: Variables, start: Variables, rows: jax.Array, key: Key
    ) -> Batch:
        """`trajectory`, its `example`, and [B] each: `reward`, `kl_nats` (an estimate without bias), `advantage`."""
        if len(rows) % self.group:
            raise UserError(
                f"a device has {len(rows)} rows of the batch, which rewards.group={self.group} does not divide; "
                "lower it, or use --parallel jit"
            )
        trajectory = task.rollout(variables, {"row": rows}, key)
        refuse_other_shapes(self.reward, prepared, trajectory.example)
        reward = self.reward(prepared, trajectory.example)
        kl = (trajectory.log_prob - task.score(start, trajectory)).sum(axis=1)
        advantage = leave_one_out(reward - self.kl_coef * kl, self.group)
        return {
            "trajectory": trajectory,
            "example": trajectory.example,
            "reward": reward,
            self.distance: kl,
            "advantage": advantage,
        }

    def loss(self, task: Policy, variables: Variables, batch: Batch) -> Mean:
        """Its gradient is the objective's; its value says nothing."""
        return Mean.of(-batch["advantage"] * task.score(variables, batch["trajectory"]).sum(axis=1))

    def examples(self, task: Policy, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is drawn for request["row"] [B], as a batch's episodes are."""
        return task.rollout(variables, request, key).example
