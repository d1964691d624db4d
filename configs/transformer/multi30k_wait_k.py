"""A small Transformer that translates German to English while it reads (wait-k, arXiv 1810.08398; Multi30k).

Its encoder reads in order (`chunk=1`), and token t of a translation is made from the first t + k tokens of the
sentence, k drawn from 1 to 9 for each sentence in training (arXiv 2005.08595): one run serves every k. All else is as
in configs/transformer/multi30k.py.

    MULTI30K_DIR=... jaxgen train --config configs/transformer/multi30k_wait_k.py --workdir runs/wait_k
    jaxgen evaluate --workdir runs/wait_k --set task.sampler.wait_k=3
    jaxgen sample --workdir runs/wait_k --stream --set task.sampler.wait_k=3

Expect on test_2016_flickr, greedy, 31.4 BLEU for k = 1, 36.5 for 3, 37.1 for 5, 37.6 for 9 and 37.8 for whole sentences
(sacreBLEU 2.6.0, 13a; `python benchmarks/streaming.py`), after 40 min on two cores of an AMD EPYC with AVX-512 beside
much other work (load 8 to 13; 17 min by its first steps alone); one seed.
"""
# SPDX-License-Identifier: Apache-2.0

import os

from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine

SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


def experiment() -> Experiment:
    folder = os.environ.get("MULTI30K_DIR", "multi30k")
    files = {split: (f"{folder}/{name}.de.gz", f"{folder}/{name}.en.gz") for split, name in SPLITS.items()}
    network = TransformerEncoderDecoder(width=128, encoder_blocks=4, blocks=4, hidden=256, dropout=0.2, chunk=1)
    return Experiment(
        task=SequenceToSequence(network=network, sampler=BeamSearch(width=1, wait_k=3), waits=(1, 9)),
        data=Pairs(**files, tokens=BytePairs(4000), buckets=(12, 16, 20, 26, 36, 64), batch_size=128),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=30_000)},
        steps=5000,
        steps_per_call=10,
        every=Every(log=100, evaluate=2500, sample=2500, checkpoint=500),
    )
