"""Pictures of emoji from prompts, tuned toward small JPEG files: a reward on the host says what they should be.

Leave-one-out score-function tuning (RLOO, arXiv 2402.14740) toward the compressibility of arXiv 2305.13301, on the
names of the training split; `--set rewards.reward.function.sign=1` tunes toward large files. Train what it starts from
first: `jaxgen train --config configs/diffusion/emoji_prompt.py --workdir runs/emoji_prompt`.

    jaxgen train --config configs/diffusion/emoji_jpeg_reward.py --workdir runs/emoji_jpeg
    jaxgen evaluate --workdir runs/emoji_jpeg

Expect no figure yet: it was not run, on two cores or elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from pathlib import Path

from jaxgen.config.reading import load_experiment
from jaxgen.core.start import Start
from jaxgen.experiment import Every, Experiment
from jaxgen.rewards.host import JpegSize, OnHost
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.training.optimisers import AdamW


def experiment() -> Experiment:
    trained = load_experiment(Path(__file__).with_name("emoji_prompt.py"), Experiment)
    return dataclasses.replace(
        trained,
        start=Start("runs/emoji_prompt"),
        rewards=ScoreFunction(OnHost(JpegSize(sign=-1.0)), kl_coef=0.0, group=8),
        optimisers={"policy": AdamW(learning_rate=1e-4, b2=0.99, clip=1.0)},
        averages={},
        steps=100,
        every=Every(log=5, evaluate=100, sample=50, checkpoint=50),
    )
