"""The emoji-names translator tuned toward sentence BLEU: a reward on the host, for prompts from the training pairs.

Leave-one-out score-function tuning (RLOO, arXiv 2402.14740) toward the metric itself (arXiv 1511.06732), held to the
start by the KL; the translations of a group are drawn for the same source. Train what it starts from first:
`jaxgen train --config configs/transformer/emoji_names.py --workdir runs/transformer_emoji`.

    jaxgen train --config configs/transformer/emoji_names_reward.py --workdir runs/emoji_reward

Expect after 100 steps, 51 s in all on one of two cores of an AMD EPYC with AVX-512, on the 438 names of the test split:
the BLEU of drawn translations from 26.8 to 39.0, 39.9 and 38.8, of searched ones from 43.2 to 46.2, 46.2 and 46.3
(seeds 0, 1, 2), at a KL of 0.75 nats from the start. `jaxgen evaluate --workdir runs/emoji_reward` tells the reward and
the BLEU of drawn translations, with `--set task.sampler=BeamSearch task.sampler.length_penalty=0` the BLEU of searched
ones.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from pathlib import Path

from jaxgen.config.reading import load_experiment
from jaxgen.core.start import Start
from jaxgen.experiment import Every, Experiment
from jaxgen.families.token_samplers import TokenSampler
from jaxgen.rewards.host import OnHost, SentenceBleu
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.training.optimisers import AdamW


def experiment() -> Experiment:
    trained = load_experiment(Path(__file__).with_name("emoji_names.py"), Experiment)
    return dataclasses.replace(
        trained,
        task=dataclasses.replace(trained.task, sampler=TokenSampler()),
        start=Start("runs/transformer_emoji"),
        rewards=ScoreFunction(OnHost(SentenceBleu()), kl_coef=0.01, group=8),
        data=dataclasses.replace(trained.data, batch_size=128),
        optimisers={"policy": AdamW(learning_rate=3e-4, b2=0.99, clip=1.0)},
        averages={},
        steps=100,
        every=Every(log=10, evaluate=100, sample=100, checkpoint=50),
    )
