"""What is read as it comes is told before it has ended, and in all what the whole gives."""
# SPDX-License-Identifier: Apache-2.0

import io
import os
import threading

import jax
import numpy as np
import pytest
from scipy.io import wavfile
from training import lively as livened

from jaxgen.errors import UserError
from jaxgen.families.ctc_task import CTC
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.rnn.recogniser import RecurrentRecogniser
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.recogniser import TransformerRecogniser
from jaxgen.modalities.wave import read_as_it_comes
from jaxgen.nn.stems import SpeechStem
from jaxgen.running.stream_recording import Recogniser, SpeechTranslator
from jaxgen.running.stream_sentence import Translator, sentences_of
from jaxgen.types import Framing, Spec, Tokens, Wave

RATE, V = 2000, 6
STEM = SpeechStem(mels=8, channels=12)
NETWORKS = {
    "rnn": RecurrentRecogniser(width=10, bidirectional=False, chunk=3, stem=STEM),
    "rnn-ahead": RecurrentRecogniser(width=10, bidirectional=False, chunk=3, look_ahead=True, stem=STEM),
    "transformer": TransformerRecogniser(width=16, blocks=2, heads=2, hidden=12, chunk=4, look_back=2, stem=STEM),
}
SEEDS = {"rnn": 2, "rnn-ahead": 1, "transformer": 0}  # whose parameters tell one token and then others
WHOLE = CTC(RecurrentRecogniser(width=10, stem=STEM))


def sound(count):
    return np.clip(4000 * np.random.default_rng(0).standard_normal(count), -32_768, 32_767).astype(np.int16)


def model(task, spec, seed=0):
    task = task.sized(spec)
    variables = livened(jax.jit(task.init)(jax.random.key(seed)))
    return task, jax.tree.map(lambda leaf: 4 * leaf, variables)  # so that tokens differ from place to place


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("count", [50, 130, 2000, 5003])
def test_of_a_slow_pipe_tokens_come_before_its_end_and_are_those_of_the_whole(name, count):
    spec = Spec(Tokens(200, V, framing=Framing.TARGET), (("wave", Wave(count, RATE)),))
    task, variables = model(CTC(NETWORKS[name]), spec, SEEDS[name])
    samples = sound(count)
    given = {"wave": {"value": samples[None] / np.float32(32_768), "length": np.asarray([count])}}
    made = jax.jit(task.sample)(variables, {"row": np.arange(1), "given": given}, jax.random.key(0))["made"]["value"]
    whole = [token for token in np.asarray(made)[0, 1:].tolist() if token != task.blank]

    recogniser, (reader, writer) = Recogniser(task, variables), os.pipe()
    content = io.BytesIO()
    wavfile.write(content, RATE, samples)
    half, told, heard_first = threading.Event(), [], []

    def write():
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            pipe.write(content.getvalue()[: len(content.getvalue()) // 2])
            assert count < 1000 or half.wait(60)  # the second half is not there before something was told
            pipe.write(content.getvalue()[len(content.getvalue()) // 2 :])

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        for tokens in recogniser(read_as_it_comes(pipe, "-", RATE, recogniser.window.step)):
            told += tokens
            if told and not half.is_set():
                heard_first.append(recogniser.heard)
                half.set()
    thread.join()
    assert told == whole and recogniser.heard == pytest.approx(count / RATE)
    assert count < 1000 or (len(whole) > 5 and heard_first[0] < count / RATE / 2)


def test_a_network_that_needs_the_whole_recording_is_told_of():
    task, variables = model(WHOLE, Spec(Tokens(9, V, framing=Framing.TARGET), (("wave", Wave(900, RATE)),)))
    with pytest.raises(UserError, match="needs the whole recording"):
        Recogniser(task, variables)


LISTENERS = {
    "rnn": RecurrentEncoderDecoder(width=10, embedding=8, layers=2, bidirectional=False, stem=STEM),
    "transformer": TransformerEncoderDecoder(
        width=16, encoder_blocks=2, blocks=2, heads=2, hidden=12, chunk=2, look_back=3, stem=STEM
    ),
    "conformer": TransformerEncoderDecoder(width=16, heads=2, hidden=12, kernel=3, chunk=4, stem=STEM),
}


@pytest.mark.parametrize(
    ("name", "wait_k"),
    [("rnn", 2), ("transformer", 1), pytest.param("conformer", 3, marks=pytest.mark.slow), ("transformer", None)],
)
def test_a_recording_is_translated_while_it_is_heard_and_as_the_whole_is(name, wait_k):
    spec = Spec(Tokens(12, V, framing=Framing.TARGET), (("wave", Wave(2500, RATE)),))
    sampler = BeamSearch(width=1, wait_k=wait_k)
    task, variables = model(SequenceToSequence(LISTENERS[name], sampler=sampler, stride=4), spec)
    bias = variables.params["head"]["bias"]
    variables.params["head"]["bias"] = bias.at[task.end].add(-4.0)  # no text ends before it began
    listener = SpeechTranslator(task, variables)
    for count in (2500, 700, 53):  # one listener for all: what is kept of one is not heard in the next
        samples = sound(count) / np.float32(32_768)
        padded = np.pad(samples, (0, 2500 - count))[None]
        given = {"wave": {"value": padded, "length": np.asarray([count])}}
        asked = {"row": np.arange(1), "given": given}
        made = jax.jit(task.sample)(variables, asked, jax.random.key(0))["made"]["value"]
        told, firsts = [], []
        for tokens in listener(samples[start : start + 20] for start in range(0, count, 20)):
            told += tokens
            firsts += [listener.heard] if tokens else []
        assert told == [token for token in np.asarray(made)[0, 1:].tolist() if token != task.end] != []
        window = listener.window
        needed = count if wait_k is None else (4 * wait_k * window.frames - 1) * window.hop + window.frame
        assert firsts[0] == pytest.approx(min(count, -(-needed // 20) * 20) / RATE)
    with pytest.raises(UserError, match="goes on after"):
        list(listener([sound(2700) / np.float32(32_768)]))


def test_a_translator_that_needs_the_whole_recording_is_told_of():
    spec = Spec(Tokens(9, V, framing=Framing.TARGET), (("wave", Wave(900, RATE)),))
    task, variables = model(SequenceToSequence(RecurrentEncoderDecoder(width=10, embedding=8, stem=STEM)), spec)
    with pytest.raises(UserError, match="needs the whole recording"):
        SpeechTranslator(task, variables)


WORDS = "abcdefgh"  # a word each


def request(text):
    value = np.zeros((1, 8), np.int32)
    words = text.split()
    value[0, : len(words)] = [WORDS.index(word) for word in words]
    given = {"source": {"value": value, "mask": np.arange(8)[None] < len(words)}}
    return {"row": np.arange(1), "given": given}, value[0, : len(words)]


READERS = {
    "rnn": RecurrentEncoderDecoder(width=8, embedding=8, bidirectional=False),
    "transformer": TransformerEncoderDecoder(width=8, heads=2, hidden=12, encoder_blocks=1, blocks=1, chunk=1),
    "both ways": TransformerEncoderDecoder(width=8, heads=2, hidden=12, encoder_blocks=1, blocks=1),
}


@pytest.mark.parametrize(("name", "wait_k"), [("rnn", 2), ("transformer", 1), ("transformer", 3), ("both ways", None)])
def test_sentences_are_translated_while_they_are_read_and_as_the_whole_is(name, wait_k):
    network = READERS[name]
    spec = Spec(Tokens(7, V, framing=Framing.TARGET), (("source", Tokens(8, 8, framing=Framing.SOURCE)),))
    task, variables = model(SequenceToSequence(network, sampler=BeamSearch(width=1, wait_k=wait_k)), spec)
    translator = Translator(task, variables, request)
    file = io.BytesIO(b"a b c d e f g h\n\nh g f e d\n")
    for reads, text in zip(sentences_of(file, "-"), ("a b c d e f g h", "h g f e d"), strict=True):
        told, first = [], None
        for tokens, count in translator(reads):
            told += tokens
            first = count if told and first is None else first
        made = jax.jit(task.sample)(variables, request(text)[0], jax.random.key(0))["made"]["value"]
        assert told == [token for token in np.asarray(made)[0, 1:].tolist() if token != task.end]
        if told:
            assert first == (wait_k or len(text.split()))


def test_where_no_sentence_comes_it_is_told():
    with pytest.raises(UserError, match="standard input is empty"):
        list(sentences_of(io.BytesIO(b" \n\n"), "standard input"))
