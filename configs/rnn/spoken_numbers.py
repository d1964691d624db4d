"""An LSTM that writes down spoken numbers as they are spoken: log-mel features, forward layers, CTC over words.

20,000 utterances by espeak-ng (extra `speech`), made once into the user's cache: numbers up to 999,999, ordinals,
decimals, years and times, in rooms and noise that change at every step. The numbers and voices of the test occur in no
training utterance.

    jaxgen train --config configs/rnn/spoken_numbers.py --workdir runs/rnn_numbers
    jaxgen evaluate --workdir runs/rnn_numbers
    jaxgen sample --workdir runs/rnn_numbers --given recording.wav

Expect on the test a word error rate of 10.9 % (character error rate 6.1 %; a beam of 8: 10.8 %), 48 % of the texts
exact, at a real-time factor of 0.001 and an average lagging of 0.69 s (`python benchmarks/streaming.py`), after 20 min
on two cores of an AMD EPYC with AVX-512 beside much other work, 3 of them to make the utterances; one seed.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.spoken_numbers import SpokenNumbers
from jaxgen.data.surroundings import Surroundings
from jaxgen.data.tokenizers import Words
from jaxgen.experiment import Every, Experiment
from jaxgen.families.ctc_task import CTC
from jaxgen.families.rnn.recogniser import RecurrentRecogniser
from jaxgen.nn.stems import SpeechStem
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    network = RecurrentRecogniser(width=192, layers=2, bidirectional=False, stem=SpeechStem(subsampling=8))
    return Experiment(
        task=CTC(network),
        data=SpokenNumbers(spoken="en", tokens=Words(), surroundings=Surroundings(), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=3000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=1000, checkpoint=500),
    )
