"""The Multi30k translator fine-tuned to another domain, the names of emoji: its last layers alone.

It goes on from runs/rnn_de_en (configs/rnn/multi30k.py) with that run's vocabulary; all else is frozen, has no
gradient and no optimiser state.

    jaxgen train --config configs/rnn/multi30k_fine_tune.py --workdir runs/rnn_fine_tuned

Expect on the 438 test names 43.2 BLEU, 59.4 chrF and 9 % exact matches, from 0.1 BLEU and 17.9 chrF before, after 90 s
in all on one of two cores of an AMD EPYC with AVX-512. 31 % of the parameters move, and of the others the optimiser
holds nothing; a step takes 0.55 of the time of full tuning (`benchmarks/fine_tuning.py`, two cores).
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from pathlib import Path

from jaxgen.config.reading import load_experiment
from jaxgen.core.masks import Matching
from jaxgen.core.start import Start
from jaxgen.data.emoji_names import EmojiNames
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    trained = load_experiment(Path(__file__).with_name("multi30k.py"), Experiment)
    return dataclasses.replace(
        trained,
        start=Start("runs/rnn_de_en"),
        trainable=Matching("^layer_1/|^hidden/|^head/"),
        data=Pairs(train=EmojiNames("de", "en"), tokens=BytePairs(4000), buckets=(16, 64), batch_size=64),
        optimisers={"likelihood": AdamW(learning_rate=Cosine(peak=1e-3, warmup=50), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=10_000)},
        steps=600,
        every=Every(log=100, evaluate=300, sample=600, checkpoint=300),
    )
