"""An LSTM that writes Python's documentation, character by character, its state carried from batch to batch.

Truncated back-propagation through time (Mikolov et al. 2010; Zaremba et al., arXiv 1409.2329, for the dropout's place).

    jaxgen train --config configs/rnn/python_docs.py --workdir runs/docs

Expect 1.84 bits/character on the last tenth of CPython 3.11's text (465,000 characters) after 135 s of training on two
cores of an Intel Xeon (AVX-512, AMX); `jaxgen evaluate --workdir runs/docs` tells, `jaxgen sample --workdir runs/docs
--count 2` writes.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.text import Text
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.training.averages import EMA
from jaxgen.training.groups import DecayOn
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = RecurrentNetwork(width=384, embedding=128, dropout=0.2)
    return Experiment(
        task=LanguageModel(network=network),
        data=Text(name="python-docs", batch_size=32, length=64),
        optimisers={
            "likelihood": AdamW(
                learning_rate=Cosine(peak=4e-3, warmup=100),
                b2=0.99,
                weight_decay=0.1,
                decay_on=DecayOn.ALL,  # as the figures above were measured
                clip=1.0,
            )
        },
        averages={"slow": EMA(half_life=3_000)},
        steps=2000,
        every=Every(log=100, evaluate=400, sample=1000, checkpoint=500),
    )
