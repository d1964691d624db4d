"""A Conformer (arXiv 2005.08100) that writes down spoken digits, real recordings (spoken_digit, 8 kHz), by CTC.

Strings of 1 to 7 recordings of one speaker, joined anew for every batch, in rooms and noise that change at every step.
The official split: each speaker's recordings 0 to 4 of a digit are the test. TFDS_DATA_DIR names the folder that holds
the prepared set.

    jaxgen train --config configs/transformer/spoken_digit.py --workdir runs/transformer_spoken
    jaxgen evaluate --workdir runs/transformer_spoken
    jaxgen train --config configs/transformer/spoken_digit.py --workdir runs/jackson --set data.speaker=jackson

Expect on the 300 strings of the test a word error rate of 0.2 %, two strings not exact, and no error in the 300
recordings one by one (`--split digits`), after 26 min on two cores of an AMD EPYC with AVX-512 beside much other work;
one seed. A speaker left out was not run (configs/rnn/spoken_digit.py has one).
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.spoken_digits import SpokenDigits
from jaxgen.data.surroundings import Surroundings
from jaxgen.experiment import Every, Experiment
from jaxgen.families.ctc_task import CTC
from jaxgen.families.transformer.recogniser import TransformerRecogniser
from jaxgen.nn.stems import SpeechStem
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    stem = SpeechStem(window=0.032, subsampling=8, vocal_tract=0.15)
    network = TransformerRecogniser(width=96, blocks=4, hidden=192, kernel=7, chunk=8, look_back=8, stem=stem)
    return Experiment(
        task=CTC(network),
        data=SpokenDigits(joined=(1, 7), surroundings=Surroundings(room=0.3), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=3000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=1000, checkpoint=500),
    )
