"""DRAFT"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.emoji_names import EmojiNames
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = RecurrentEncoderDecoder(width=192, embedding=128, dropout=0.2)
    return Experiment(
        task=SequenceToSequence(network=network),
        data=Pairs(train=EmojiNames("de", "en"), tokens=BytePairs(1000), buckets=(12, 32), batch_size=64),
        optimisers={"likelihood": AdamW(learning_rate=Cosine(peak=2e-3, warmup=100), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=10_000)},
        steps=1000,
        steps_per_call=10,
        every=Every(log=100, evaluate=500, sample=500, checkpoint=500),
    )
