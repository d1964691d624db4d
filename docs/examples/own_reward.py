"""A reward of one's own: pictures whose left half mirrors their right half.

    jaxgen train --config rnn/digits --workdir runs/rnn
    jaxgen train --config docs/examples/own_reward.py --workdir runs/own_reward --start runs/rnn
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config.reading import load_experiment
from jaxgen.core.start import Start
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Batch, Spec


@dataclasses.dataclass(frozen=True)
class Symmetry:
    """From 0 to 1; 1 for a picture that is its own mirror image."""

    def prepare(self, spec: Spec) -> Any:
        """Arrays that the reward needs, such as a network's weights: none. Here unsuitable data are refused."""
        if len(spec.made.shape) != 3:
            raise UserError("rewards.reward looks at pictures, and these data make none")
        return jnp.float32(spec.made.levels - 1)

    def __call__(self, prepared: Any, example: Batch) -> jax.Array:
        """[B]; of float pictures it has a gradient, so that `Pathwise(Symmetry())` tunes a GAN or a VAE."""
        value = example["made"]["value"].astype(jnp.float32) / prepared  # [B, H, W, C]
        return 1 - jnp.abs(value - value[:, :, ::-1]).mean(axis=(1, 2, 3))


def experiment() -> Experiment:
    trained = load_experiment("rnn/digits", Experiment)
    return dataclasses.replace(
        trained,
        start=Start("runs/rnn"),
        rewards=ScoreFunction(Symmetry(), kl_coef=0.002, group=16),
        data=dataclasses.replace(trained.data, batch_size=128),
        optimisers={"policy": AdamW(learning_rate=1e-3, b2=0.99, clip=1.0)},
        averages={},
        steps=30,
        steps_per_call=5,
        every=Every(log=5, evaluate=30, sample=30, checkpoint=30),
    )
