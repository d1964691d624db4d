"""A transformer that writes Python's documentation, character by character, with 128 of them in sight.

A decoder (arXiv 1706.03762) with rotary positions (arXiv 2104.09864).

    jaxgen train --config configs/transformer/python_docs.py --workdir runs/tdocs

Expect 1.90 bits/character on the last tenth of CPython 3.11's text (465,000 characters) after 236 s of training on two
cores of an Intel Xeon (AVX-512, AMX) that did other work besides; `jaxgen evaluate --workdir runs/tdocs` tells.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.text import Text
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.averages import EMA
from jaxgen.training.groups import DecayOn
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = Transformer(width=128, blocks=4, heads=4, hidden=512, token_shifts=(1, 2, 3), dropout=0.05)
    return Experiment(
        task=LanguageModel(network=network),
        data=Text(name="python-docs", batch_size=16, length=128),
        optimisers={
            "likelihood": AdamW(
                learning_rate=Cosine(peak=2e-3, warmup=100),
                b2=0.99,
                weight_decay=0.1,
                decay_on=DecayOn.ALL,  # as the figures above were measured
                clip=1.0,
            )
        },
        averages={"slow": EMA(half_life=100)},
        steps=1000,
        every=Every(log=100, evaluate=1000, sample=1000, checkpoint=500),
    )
