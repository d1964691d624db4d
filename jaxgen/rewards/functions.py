"""Rewards: numbers for examples. A reward is a frozen dataclass; what it looks through is prepared once."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError
from jaxgen.metrics.features import CLASSES, LEVELS, SHAPE, load, log_probabilities
from jaxgen.types import Batch, Parts, Spec


class Reward(Protocol):
    """Traced into the training program: pure, and for a pathwise tuning differentiable in float pictures."""

    def prepare(self, spec: Spec) -> Any:
        """What the reward needs, arrays alone (a frozen net's weights); UserError for data that do not suit."""

    def __call__(self, prepared: Any, example: Batch) -> jax.Array:
        """[B] float rewards of examples {"row", "given", "made"} as the data's batches have them.

        Where samples are drawn for prompts, "reference" is what the data have for each, as "made".
        """


@runtime_checkable
class OfParts(Protocol):
    """A reward that looks through other runs (core/part.py), whose variables are none of its own arrays."""

    def of_parts(self, parts: Parts) -> Any:
        """What it is called with in place of what it has prepared."""


def shown(example: Batch, prompt: Batch) -> Batch:
    """What a reward is called with: the example, its global "row", and the prompt's "reference" where it has one."""
    return example | {name: prompt[name] for name in ("row", "reference") if name in prompt}


def looked_through(reward: Any, prepared: Any, parts: Parts) -> Any:
    """What a reward is called with as `prepared`."""
    return reward.of_parts(parts) if isinstance(reward, OfParts) else prepared


@dataclass(frozen=True)
class ClassProbability:
    """The probability that the frozen digits net gives to the class `target`."""

    target: int

    def prepare(self, spec: Spec) -> Any:
        if (spec.made.shape, spec.made.levels) != (SHAPE, LEVELS):
            raise UserError("rewards.reward looks through the digits net, which needs 8x8 pictures of 17 levels")
        if not 0 <= self.target < CLASSES:
            raise UserError(f"rewards.reward.target is {self.target}: there is no such class; give 0 to {CLASSES - 1}")
        return load("digits").params

    def __call__(self, prepared: Any, example: Batch) -> jax.Array:
        return jnp.exp(log_probabilities(prepared, example["made"]["value"])[:, self.target])


def refuse_unsuited_parts(reward: Any, spec: Spec) -> None:
    """UserError for a reward that looks through other runs which do not suit the data: before any of them is copied."""
    if isinstance(reward, OfParts):
        reward.prepare(spec)


def refuse_other_shapes(reward: Reward, prepared: Any, example: Batch) -> None:
    """UserError when the reward of `example` (shapes alone) is not one float a row."""
    rows = len(jax.tree.leaves(example)[0])
    given = jax.eval_shape(reward, prepared, example)
    if not isinstance(given, jax.ShapeDtypeStruct):
        raise UserError(f"rewards.reward gives a {type(given).__name__}; it must give one array of {rows} floats")
    if given.shape != (rows,) or not jnp.issubdtype(given.dtype, jnp.floating):
        raise UserError(
            f"rewards.reward gives {given.dtype}{list(given.shape)} for {rows} examples; it must give float [{rows}]"
        )
