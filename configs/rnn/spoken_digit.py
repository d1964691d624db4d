"""A GRU that writes down spoken digits as they are spoken: real recordings (spoken_digit, 8 kHz), by CTC over words.

Strings of 1 to 7 recordings of one speaker, joined anew for every batch, in rooms and noise that change at every step.
The official split: each speaker's recordings 0 to 4 of a digit are the test. TFDS_DATA_DIR names the folder that holds
the prepared set.

    jaxgen train --config configs/rnn/spoken_digit.py --workdir runs/rnn_spoken
    jaxgen evaluate --workdir runs/rnn_spoken
    jaxgen train --config configs/rnn/spoken_digit.py --workdir runs/jackson \
        --set data.speaker=jackson task.network.stem.vocal_tract=0.15

Expect no error in the 300 strings of the test (word error rate 0 %), nor in its 300 recordings one by one (`--split
digits`), at a real-time factor of 0.001 and an average lagging of 0.47 s (`python benchmarks/streaming.py`), after 14
min on two cores of an AMD EPYC with AVX-512 beside much other work; one seed. Of a speaker who is in no training
recording (the last command, 31 min beside much other work) it tells 86 % of single digits and 62 % of strings, a word
error rate of 13.9 %.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.spoken_digits import SpokenDigits
from jaxgen.data.surroundings import Surroundings
from jaxgen.experiment import Every, Experiment
from jaxgen.families.ctc_task import CTC
from jaxgen.families.rnn.network import Cell
from jaxgen.families.rnn.recogniser import RecurrentRecogniser
from jaxgen.nn.stems import SpeechStem
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    stem = SpeechStem(window=0.032, subsampling=8)
    network = RecurrentRecogniser(cell=Cell.GRU, width=160, layers=2, bidirectional=False, stem=stem)
    return Experiment(
        task=CTC(network),
        data=SpokenDigits(joined=(1, 7), surroundings=Surroundings(room=0.3), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=3000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=1000, checkpoint=500),
    )
