"""Pictures of emoji from prompts, tuned toward small JPEG files: a reward on the host says what they should be.

Leave-one-out score-function tuning (RLOO, arXiv 2402.14740) toward the compressibility of arXiv 2305.13301, on the
names of the training split; `--set rewards.reward.function.sign=1` tunes toward large files. Train what it starts from
first: `jaxgen train --config configs/diffusion/emoji_prompt.py --workdir runs/emoji_prompt`.

    jaxgen train --config configs/diffusion/emoji_jpeg_reward.py --workdir runs/emoji_jpeg
    jaxgen evaluate --workdir runs/emoji_jpeg

Expect a `reward` in metrics.jsonl that goes from -1.33 kB to -1.11 (the mean of the last ten steps) in 12 minutes,
measured from a run of 4,000 steps of emoji_prompt; a blank picture's file has 0.64 kB, so that a third of what is left
was saved. Drawings lose detail and shrink, and stay what they are. Toward large files, with `--set
rewards.reward.function.sign=1 data.batch_size=32 optimisers.policy.learning_rate=4e-4 steps=60` and in 15 minutes, from
1.39 kB to 1.90, measured from the run of 10,000 steps: nothing holds the pictures to what they were (`rewards.kl_coef`
is 0), and it does not rise further. Both on two cores of an AMD EPYC with AVX-512 beside other work, one seed.
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
        task=dataclasses.replace(trained.task, actions=10),
        start=Start("runs/emoji_prompt"),
        rewards=ScoreFunction(OnHost(JpegSize(sign=-1.0)), kl_coef=0.0, group=8),
        optimisers={"policy": AdamW(learning_rate=1.5e-4, b2=0.99, clip=1.0)},
        averages={},
        steps=40,
        every=Every(log=2, evaluate=20, sample=20, checkpoint=20),
    )
