"""A transformer that writes handwritten digits pixel by pixel, and knows their exact likelihood.

A decoder (arXiv 1706.03762) with rotary positions (arXiv 2104.09864).

    jaxgen train --config configs/transformer/digits.py --workdir runs/transformer

Expect 1.71 bits/dim on the held-out digits (an independent histogram of each pixel: 2.43), 95.1 % of the samples
recognised, a forest that tells them from real digits 63 % of the time, and Fréchet distances of 0.22 in pixels and 8.2
in digits-cnn-a81e, after 37 s of training on one of two cores of an AMD EPYC with AVX-512; `jaxgen evaluate --workdir
runs/transformer` tells.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.averages import EMA
from jaxgen.training.groups import DecayOn
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = Transformer(
        width=64,
        blocks=3,
        hidden=128,
        token_shifts=(1, 2, 7, 8, 9, 10),  # two pixels before, and four above in a picture 8 wide
        dropout=0.15,
    )
    return Experiment(
        task=LanguageModel(network=network, condition_dropout=0.03),
        data=Pictures(name="digits", batch_size=64),
        optimisers={
            "likelihood": AdamW(
                learning_rate=Cosine(peak=8e-3, warmup=100),
                b2=0.99,
                weight_decay=0.5,
                decay_on=DecayOn.ALL,  # as the figures above were measured
                clip=1.0,
            )
        },
        averages={"slow": EMA(half_life=10_000)},
        steps=1000,
        every=Every(log=50, evaluate=500, sample=500, checkpoint=500),
    )
