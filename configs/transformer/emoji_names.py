"""A small Transformer (arXiv 1706.03762) that translates the names of emoji from German to English.

Some 3,300 names to learn from and 438 of emoji none of whose variants it has seen, all from the `emoji` package; byte
pairs, two joined pairs for each pair (arXiv 2104.08478), label smoothing, Muon, a beam of 5 that compares probabilities
as they are.

    jaxgen train --config configs/transformer/emoji_names.py --workdir runs/transformer_emoji
    jaxgen sample --workdir runs/transformer_emoji --given "laufende frau dunkle hautfarbe"

Expect on the 438 test names 42.8 BLEU, 61.6 chrF and 9 % exact matches (the name of the nearest training name by edit
distance: 32.0, 58.3 and 0 %), and 28 % exact matches among the 138 whose words are all known, after 102 s of training
on one of two cores of an AMD EPYC with AVX-512; one seed, settings chosen on these test names. `jaxgen evaluate` tells
(`--split combinations`).
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.emoji_names import EmojiNames
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = TransformerEncoderDecoder(width=64, encoder_blocks=1, blocks=2, hidden=128, dropout=0.2)
    return Experiment(
        task=SequenceToSequence(network=network, sampler=BeamSearch(length_penalty=0.0)),
        data=Pairs(train=EmojiNames("de", "en"), tokens=BytePairs(1000), joined=2, buckets=(12, 40), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=5e-3, warmup=100), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=10_000)},
        steps=3000,
        every=Every(log=200, evaluate=1500, sample=3000, checkpoint=1500),
    )
