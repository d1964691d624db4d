"""The digits LSTM tuned toward sevens: a reward, not data, says what its pictures should be.

Leave-one-out score-function tuning (RLOO, arXiv 2402.14740), held to the start by the KL. Train what it starts from
first: `jaxgen train --config configs/rnn/digits.py --workdir runs/rnn`.

    jaxgen train --config configs/rnn/digits_reward.py --workdir runs/rnn_reward

Expect the mean probability of a seven to rise from 0.06 to 0.96, 7.0 nats from the start, with 0.85 of the variety of
real sevens, after 4 s on one of two cores of an AMD EPYC with AVX-512; `jaxgen evaluate --workdir runs/rnn_reward`
tells.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from pathlib import Path

from jaxgen.config.reading import load_experiment
from jaxgen.core.start import Start
from jaxgen.experiment import Every, Experiment
from jaxgen.rewards.functions import ClassProbability
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.training.optimisers import AdamW


def experiment() -> Experiment:
    trained = load_experiment(Path(__file__).with_name("digits.py"), Experiment)
    return dataclasses.replace(
        trained,
        start=Start("runs/rnn"),
        rewards=ScoreFunction(ClassProbability(target=7), kl_coef=0.05, group=16),
        data=dataclasses.replace(trained.data, batch_size=128),
        optimisers={"policy": AdamW(learning_rate=1e-3, b2=0.99, clip=1.0)},
        averages={},
        steps=30,
        steps_per_call=5,
        every=Every(log=5, evaluate=30, sample=30, checkpoint=30),
    )
