"""Small runs on the digits: those that judge, and one that is tuned toward what they say."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.core.masks import Matching
from jaxgen.core.part import Run
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.rewards.judge import Judge
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.running.trained import load_trained
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel

GAN = Gan(Generator(width=8, latent=4, blocks=1, channels=()), Discriminator(width=8, blocks=1, channels=()))
LANGUAGE_MODEL = LanguageModel(RecurrentNetwork(width=4, embedding=2), condition_dropout=0.1)
HOW: dict[str, Any] = {
    "steps_per_call": 2,
    "every": Every(log=1, evaluate=100, sample=100, checkpoint=2),
    "evaluate": Evaluated(examples=8),
    "parallel": Parallel(data=1),
}


def critic(steps: int = 2) -> Experiment:
    """A GAN whose average is what it shows."""
    adam, averages = AdamW(1e-2), {"slow": EMA(half_life=10.0)}
    optimisers = {"discriminator": adam, "generator": adam}
    return Experiment(GAN, Pictures(batch_size=8), optimisers, steps, averages=averages, **HOW)


def likelihood() -> Experiment:
    return Experiment(LANGUAGE_MODEL, Pictures(batch_size=8), {"likelihood": AdamW(1e-2)}, 2, **HOW)


def toward_a_critic(run: Path, steps: int = 4) -> Experiment:
    rewards, trainable = Pathwise(Judge(Run(str(run)))), Matching("^generator/")
    adam = {"policy": AdamW(1e-2)}
    return Experiment(
        GAN, Pictures(batch_size=8), adam, steps, seed=1, rewards=rewards, trainable=trainable, **HOW
    )


def toward_a_likelihood(run: Path, passes: int = 2) -> Experiment:
    rewards = ScoreFunction(Judge(Run(str(run))), group=4, passes=passes)
    return Experiment(
        LANGUAGE_MODEL, Pictures(batch_size=8), {"policy": AdamW(1e-2)}, 2, seed=1, rewards=rewards, **HOW
    )


def silent(sentence: str) -> None:
    pass


def rewarded(workdir: Path) -> dict[str, Any]:
    """A batch that a trained run's source makes, with its global rows, on the host."""
    trained = load_trained(workdir, None, silent)
    source, rows = trained.assembly.source, np.arange(8, dtype=np.int32)
    batch = jax.jit(lambda source, *how: source.next(*how, rows)[0])(
        source, trained.source, trained.variables, np.int32(4)
    )
    return jax.device_get(batch)
