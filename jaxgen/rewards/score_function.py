"""Reward tuning by the score function: episodes of the present policy, pushed by how much better than others they did.

The objective is E[reward] - kl_coef * KL(policy || start). Its gradient needs neither the reward's gradient nor that of
the sampler: E[(return - baseline) * grad log p], the return being reward - kl_coef * log(p / p_start) (REINFORCE,
Williams 1992; the leave-one-out baseline, arXiv 2402.14740; the greedy one, arXiv 1612.00563). Several passes over one
rollout weigh each action by its ratio p / p_old, clipped: the surrogate of PPO (eq. 7, arXiv 1707.06347), whose
gradient in the first pass is the same.
"""
# SPDX-License-Identifier: Apache-2.0

import enum
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.data import Between, Traced
from jaxgen.core.mean import Mean
from jaxgen.core.task import Policy, Sampled, Task
from jaxgen.errors import UserError
from jaxgen.ops.advantages import leave_one_out
from jaxgen.rewards.functions import ClassProbability, Reward, refuse_other_shapes, refuse_unsuited_parts, shown
from jaxgen.rewards.host import HostSamples, OnHost
from jaxgen.rewards.judge import Judge
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.tuned import Plain, Samples
from jaxgen.types import Batch, Key, Variables

_TEMPERATURE = "temperature"  # the knob of what is drawn token by token; 0: the likeliest

class Baseline(enum.Enum):
    """What an episode's return is compared with."""

    OTHERS = "others"  # the mean return of the others in its group (arXiv 2402.14740)
    GREEDY = "greedy"  # the reward of greedy decoding for the same prompt: self-critical (arXiv 1612.00563, eq. 7)


@dataclass(frozen=True)
class ScoreFunction:
    """Tuning toward `reward`, less `kl_coef` times the KL, by episodes in groups of `group` and a `baseline`.

    The episodes of a group are drawn for the same prompt, where there are prompts. `passes` updates are made from each
    rollout; with more than one, an action's ratio counts up to 1 + `clip`, or down to 1 - `clip`.
    """

    reward: ClassProbability | Judge | OnHost | Reward
    kl_coef: float = 0.01
    group: int = 16
    passes: int = 1
    clip: float = 0.2
    baseline: Baseline = Baseline.OTHERS
    distance = "kl_nats"  # the name of how far the policy is from its start

    def __post_init__(self):
        least = 2 if self.baseline is Baseline.OTHERS else 1
        if self.kl_coef < 0 or self.group < least:
            raise UserError(
                f"rewards.kl_coef is {self.kl_coef} and rewards.group {self.group}; give 0 or more, and {least} or more"
            )
        if self.passes < 1 or not 0 < self.clip < 1:
            raise UserError(
                f"rewards.passes is {self.passes} and rewards.clip {self.clip}; give at least 1 pass, and a clip "
                "between 0 and 1"
            )

    def check(self, task: Task, batch_size: int) -> None:
        """UserError for a task whose samples are no policy's, and for batches that groups do not fit."""
        if not isinstance(task, Policy):
            raise UserError(
                f"a {type(task).__name__} draws without actions that could be scored; give rewards=Pathwise(...)"
            )
        task.check_policy()
        by_token = isinstance(task, Sampled) and _TEMPERATURE in task.sampler.knobs()
        if self.baseline is Baseline.GREEDY and not by_token:
            raise UserError(
                f"rewards.baseline=greedy is for what is drawn token by token, which a {type(task).__name__} does not; "
                "give rewards.baseline=others"
            )
        if batch_size % self.group:
            raise UserError(f"data.batch_size is {batch_size} and rewards.group {self.group}; let one divide the other")
        refuse_unsuited_parts(self.reward, task.spec)

    def source(self, task: Policy, batch_size: int, prompts: Prompts | None, plain: Plain) -> Traced | Between:
        """Traced, or between the steps where the reward runs on the host."""
        if isinstance(self.reward, OnHost):
            return HostSamples(self, task, batch_size, prompts, plain)
        return Samples.of(task, self, batch_size, prompts)

    def batch(
        self, task: Policy, prepared: Any, variables: Variables, start: Variables, prompt: Batch, key: Key
    ) -> Batch:
        """`trajectory`, its `example`, and [B] each: `reward`, `kl_nats` (an estimate without bias), `advantage`."""
        drawn, greedy = self.drawn(task, variables, start, prompt, key)
        seen = shown(drawn["example"], prompt)
        refuse_other_shapes(self.reward, prepared, seen)
        expected = None if greedy is None else self.reward(prepared, shown(greedy, self.firsts(prompt)))
        return self.weighed(drawn, self.reward(prepared, seen), expected)

    def drawn(
        self, task: Policy, variables: Variables, start: Variables, prompt: Batch, key: Key
    ) -> tuple[Batch, Batch | None]:
        """A batch before it is rewarded, and what greedy decoding makes for each group [B / group], if that counts."""
        if len(prompt["row"]) % self.group:
            raise UserError(
                f"a device or process has {len(prompt['row'])} rows of the batch, which rewards.group={self.group} "
                "does not divide; lower it, or use one process and --parallel jit"
            )
        request = {"row": prompt["row"], "given": prompt["given"]}
        trajectory = task.rollout(variables, request, key)
        kl = (trajectory.log_prob - task.score(start, trajectory)).sum(axis=1)
        drawn = {"trajectory": trajectory, "example": trajectory.example, self.distance: kl}
        if self.baseline is not Baseline.GREEDY:
            return drawn, None
        return drawn, task.sample(variables, {**self.firsts(request), "knobs": {_TEMPERATURE: 0.0}}, key)

    def firsts(self, batch: Batch) -> Batch:
        """The first row of each group."""
        return jax.tree.map(lambda leaf: leaf[:: self.group], batch)

    def weighed(self, drawn: Batch, reward: jax.Array, greedy: jax.Array | None = None) -> Batch:
        """The batch of what was drawn and its reward [B]: each episode's advantage over its baseline.

        `greedy` [B / group] is the reward of greedy decoding, where that is the baseline.
        """
        returns = reward - self.kl_coef * drawn[self.distance]
        if greedy is None:
            return {**drawn, "reward": reward, "advantage": leave_one_out(returns, self.group)}
        return {**drawn, "reward": reward, "advantage": returns - jnp.repeat(greedy, self.group)}

    def loss(self, task: Policy, variables: Variables, batch: Batch) -> Mean:
        """Its gradient is the objective's; its value says nothing."""
        trajectory, advantage = batch["trajectory"], batch["advantage"]
        log_prob = task.score(variables, trajectory)  # [B, T]
        if self.passes == 1:
            return Mean.of(-advantage * log_prob.sum(axis=1))
        ratio = jnp.exp(log_prob - trajectory.log_prob)
        clipped = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        gain = jnp.minimum(ratio * advantage[:, None], clipped * advantage[:, None])  # eq. 7, arXiv 1707.06347
        return Mean.of(-gain.sum(axis=1))

    def examples(self, task: Policy, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is drawn for request["row"] [B], as a batch's episodes are."""
        return task.rollout(variables, request, key).example
