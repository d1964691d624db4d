"""DRAFT"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW, Cosine


def experiment() -> Experiment:
    folder = "../shared/data/multi30k/"
    return Experiment(
        task=SequenceToSequence(
            network=TransformerEncoderDecoder(width=128, encoder_blocks=4, blocks=4, hidden=256, dropout=0.1),
            sampler=BeamSearch(width=5, length_penalty=1.0),
        ),
        data=Pairs(
            train=(f"{folder}train.de.gz", f"{folder}train.en.gz"),
            validation=(f"{folder}val.de.gz", f"{folder}val.en.gz"),
            test=(f"{folder}test_2016_flickr.de.gz", f"{folder}test_2016_flickr.en.gz"),
            tokens=BytePairs(4000),
            buckets=(12, 16, 20, 26, 36, 64),
            batch_size=64,
        ),
        optimisers={"likelihood": AdamW(learning_rate=Cosine(peak=2e-3, warmup=300), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=30_000)},
        steps=4500,
        steps_per_call=10,
        every=Every(log=100, evaluate=900, sample=900, checkpoint=900),
    )
