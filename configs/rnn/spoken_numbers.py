"""An LSTM that writes down spoken numbers as they are spoken: log-mel features, CTC over words.

Forward layers, and backward ones within chunks of 640 ms (arXiv 1510.08983). 20,000 utterances by espeak-ng (extra
`speech`), made once into the user's cache: numbers up to 999,999, ordinals, decimals, years and times, in rooms and
noise that change at every step, by voices whose frequencies are stretched (vocal tract length perturbation). The
numbers and voices of the test occur in no training utterance.

    jaxgen train --config configs/rnn/spoken_numbers.py --workdir runs/rnn_numbers
    jaxgen evaluate --workdir runs/rnn_numbers
    jaxgen sample --workdir runs/rnn_numbers --given recording.wav

Expect on the test a word error rate of 2.8 % (character error rate 2.4 %; a beam of 8: 2.7 %), 88 % of the texts exact,
at an average lagging of 0.64 s (`python benchmarks/streaming.py`), after 19 min on two cores of an AMD EPYC with
AVX-512 beside much other work, utterances made before; one seed. What needs no stream does better with the whole
recording: `--set task.network.bidirectional=true task.network.look_ahead=false` gave 0.9 % (characters 0.6 %), 95 %
exact, after 23 min. Forward layers alone (`task.network.look_ahead=false`, 3,000 steps, voices as they are) gave 10.9
%: they took words for others before these were spoken to their end.
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
    how = {"chunk": 8, "look_ahead": True, "stem": SpeechStem(subsampling=8, vocal_tract=0.15)}
    network = RecurrentRecogniser(width=192, layers=2, bidirectional=False, **how)
    return Experiment(
        task=CTC(network),
        data=SpokenNumbers(spoken="en", tokens=Words(), surroundings=Surroundings(), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=4000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=1000, checkpoint=500),
    )
