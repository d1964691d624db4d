"""A Transformer that hears English numbers and writes them in German while they are spoken (wait-k over a recording).

Its encoder reads chunks of 320 ms (arXiv 2010.11395), and token t is made from the first (t + k) chunks (a fixed
pre-decision, arXiv 2011.02048), k drawn from 1 to 10 for each utterance in training (arXiv 2005.08595): one run serves
every k, and the whole recording. The data are those of configs/transformer/speech_translation.py, and voices
are stretched in training.

    jaxgen train --config configs/transformer/streaming_speech_translation.py --workdir runs/streaming
    jaxgen evaluate --workdir runs/streaming --set task.sampler.wait_k=3
    jaxgen sample --workdir runs/streaming --stream --set task.sampler.wait_k=3 < recording.wav

Expect on the test 26, 49, 65, 76, 88 and 90 % of the texts exact at k = 1, 2, 3, 4, 6 and 8, at an average lagging of
0.33, 0.61, 0.87, 1.12, 1.52 and 1.84 s, and 90.1 % (92.3 BLEU) with the whole recording, by greedy decoding
(`python benchmarks/streaming.py --workdir runs/streaming --waits 1 2 3 4 6 8`), after 14 min on two cores of an AMD
EPYC with AVX-512 beside other work, 3.5 of them compiling; one seed.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.spoken_numbers import SpokenNumbers
from jaxgen.data.surroundings import Surroundings
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.nn.stems import SpeechStem
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    how = {"chunk": 4, "stem": SpeechStem(subsampling=8, vocal_tract=0.15)}
    network = TransformerEncoderDecoder(width=128, encoder_blocks=4, blocks=2, hidden=256, **how)
    return Experiment(
        task=SequenceToSequence(network=network, sampler=BeamSearch(width=1, wait_k=3), waits=(1, 10), stride=4),
        data=SpokenNumbers(spoken="en", text="de", tokens=BytePairs(320), surroundings=Surroundings(), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=3000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1500, sample=1500, checkpoint=500),
    )
