"""The lagging that `evaluate` tells, where it can be worked out: in tokens of sentences, in seconds of recordings."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import numpy as np
import pytest

from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Meaning
from jaxgen.nn.stems import SpeechStem
from jaxgen.running.lagging import lag_figures
from jaxgen.types import Framing, Spec, Tokens, Wave

RATE, V, LONGEST = 1000, 6, 9
MADE = Tokens(LONGEST + 1, V, framing=Framing.TARGET)
NETWORK = TransformerEncoderDecoder(width=16, encoder_blocks=1, blocks=1, heads=2, hidden=12, chunk=1)
SENTENCES = Spec(MADE, (("source", Tokens(LONGEST, V, framing=Framing.SOURCE)),))


def presented(spec):
    return Presentation.of(spec, dict.fromkeys(("made", *(name for name, _ in spec.given)), Meaning("none")))


def texts(*counts):
    """Rows of so many tokens from "start" to "end", ends after it."""
    value = np.full((len(counts), LONGEST + 2), V - 1, np.int32)
    for row, count in zip(value, counts, strict=True):
        row[0], row[1 : 1 + count] = V, 0
    return {"value": value}


def translator(network, spec, wait_k, stride=1):
    return SequenceToSequence(network, sampler=BeamSearch(width=1, wait_k=wait_k), stride=stride).sized(spec)


@pytest.mark.parametrize(("wait_k", "lag"), [(1, 1), (3, 3), (None, (4 + 6 + 9) / 3)])
def test_where_both_are_as_long_wait_k_lags_by_k_tokens_and_the_whole_by_its_length(wait_k, lag):
    """Of as many tokens as are given the last is the end."""
    lengths = (4, 6, 9)
    given = {
        "source": {"value": np.zeros((3, LONGEST), np.int32), "mask": np.arange(LONGEST) < np.asarray(lengths)[:, None]}
    }
    same = {"given": given, "made": texts(3, 5, 8)}
    task = translator(NETWORK, SENTENCES, wait_k)
    assert lag_figures(task, presented(SENTENCES), same, same) == {"average_lagging_tokens": pytest.approx(lag)}


@pytest.mark.parametrize("wait_k", [2, None])
def test_of_recordings_it_is_in_seconds_of_sound(wait_k):
    """Token t needs (t + 2) * 4 places of 4 frames, 10 ms each, the last of which ends 15 ms after it begins."""
    spec = Spec(MADE, (("wave", Wave(2 * RATE, RATE)),))
    network = dataclasses.replace(NETWORK, chunk=4, stem=SpeechStem(mels=8, channels=12))
    task = translator(network, spec, wait_k, stride=4)
    window = task.window
    place, late = window.frames * window.hop / RATE, (window.frame - window.hop) / RATE
    given = {"wave": {"value": np.zeros((1, 2 * RATE), np.float32), "length": np.asarray([1500])}}
    made, real = ({"given": given, "made": texts(count)} for count in (3, 5))
    read = [(token + 2) * 4 * place + late for token in range(3)]
    assert read[-1] < 1.5  # none has heard all
    by_hand = np.mean([now - token * 1.5 / 5 for token, now in enumerate(read)]) if wait_k else 1.5
    assert lag_figures(task, presented(spec), made, real) == {"average_lagging_s": pytest.approx(by_hand)}


def test_a_network_that_needs_all_at_once_has_none():
    network = dataclasses.replace(NETWORK, chunk=None)
    task = SequenceToSequence(network, sampler=BeamSearch(width=1)).sized(SENTENCES)
    assert lag_figures(task, presented(SENTENCES), {}, {}) == {}
