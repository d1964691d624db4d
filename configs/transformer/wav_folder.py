"""A Conformer (arXiv 2005.08100) that writes down your own recordings, by CTC, in chunks of 320 ms (arXiv 2012.05481).

SPEECH_DIR names a folder of wav files with a `transcripts.tsv`: a line FILE tab WORDS for each. One in ten is held out.
A place knows of its own chunk and ten before it, so that the run can recognise speech while it is spoken; where that is
not wanted, `--set task.network.chunk=none task.network.look_back=none` is more exact.

    SPEECH_DIR=... jaxgen train --config transformer/wav_folder --workdir runs/speech
    jaxgen sample --workdir runs/speech --given recording.wav
    arecord -f S16_LE -r 16000 - | jaxgen sample --workdir runs/speech --stream

What to expect depends on the recordings: `jaxgen evaluate` tells the word and character error rates of those held out.
"""
# SPDX-License-Identifier: Apache-2.0

import os

from jaxgen.data.speech import Speech
from jaxgen.experiment import Every, Experiment
from jaxgen.families.ctc_task import CTC
from jaxgen.families.transformer.recogniser import TransformerRecogniser
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = TransformerRecogniser(width=144, blocks=6, hidden=288, kernel=9, chunk=8, look_back=10)
    return Experiment(
        task=CTC(network),
        data=Speech(name=os.environ.get("SPEECH_DIR", "speech"), rate=16_000, batch_size=32),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=10_000)},
        steps=4000,
        every=Every(log=50, evaluate=500, sample=500, checkpoint=500),
    )
