"""A Conformer (arXiv 2005.08100) that writes down spoken numbers as they are spoken, in chunks of 640 ms, by CTC.

20,000 utterances by espeak-ng (extra `speech`), made once into the user's cache: numbers up to 999,999, ordinals,
decimals, years and times, in rooms and noise that change at every step. The numbers and voices of the test occur in no
training utterance.

    jaxgen train --config configs/transformer/spoken_numbers.py --workdir runs/numbers
    jaxgen evaluate --workdir runs/numbers
    jaxgen sample --workdir runs/numbers --given recording.wav

Expect what configs/rnn/spoken_numbers.py reaches, or better: not run to its end yet, on two cores or elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.spoken_numbers import SpokenNumbers
from jaxgen.data.surroundings import Surroundings
from jaxgen.data.tokenizers import Words
from jaxgen.experiment import Every, Experiment
from jaxgen.families.ctc_task import CTC
from jaxgen.families.transformer.recogniser import TransformerRecogniser
from jaxgen.nn.stems import SpeechStem
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    how = {"chunk": 8, "look_back": 8, "stem": SpeechStem(subsampling=8)}
    network = TransformerRecogniser(width=128, blocks=4, heads=4, hidden=256, kernel=7, **how)
    return Experiment(
        task=CTC(network),
        data=SpokenNumbers(spoken="en", tokens=Words(), surroundings=Surroundings(), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=3000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1000, sample=1000, checkpoint=500),
    )
