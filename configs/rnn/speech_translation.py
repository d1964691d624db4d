"""An LSTM with attention that hears English numbers and writes them in German: speech translation.

A bidirectional encoder over log-mel features and attention (arXiv 1409.0473) over byte pairs. "three hundred and four"
becomes "dreihundertvier": the order changes, and nothing of the English words is learned from. The data are those of
configs/rnn/spoken_numbers.py; `--set data.text=fr` translates to French.

    jaxgen train --config configs/rnn/speech_translation.py --workdir runs/rnn_speech_translation
    jaxgen evaluate --workdir runs/rnn_speech_translation
    jaxgen sample --workdir runs/rnn_speech_translation --given recording.wav

Expect what configs/transformer/speech_translation.py reaches: not run to its end yet, on two cores or elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.spoken_numbers import SpokenNumbers
from jaxgen.data.surroundings import Surroundings
from jaxgen.data.tokenizers import BytePairs
from jaxgen.experiment import Every, Experiment
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.nn.stems import SpeechStem
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    stem = SpeechStem(subsampling=8)
    network = RecurrentEncoderDecoder(width=192, embedding=128, encoder_layers=2, layers=1, stem=stem)
    return Experiment(
        task=SequenceToSequence(network=network),
        data=SpokenNumbers(spoken="en", text="de", tokens=BytePairs(320), surroundings=Surroundings(), batch_size=64),
        optimisers={"likelihood": Muon(learning_rate=Cosine(peak=3e-3, warmup=200), b2=0.98, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=3000,
        steps_per_call=10,
        every=Every(log=50, evaluate=1500, sample=1500, checkpoint=500),
    )
