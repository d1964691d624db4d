"""`jaxgen sample --stream`: a recording or sentences read as they come, and what is made of them told at once."""
# SPDX-License-Identifier: Apache-2.0

import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import numpy as np

from jaxgen.core.data import Codec
from jaxgen.core.task import StreamsRecordings, StreamsSentences
from jaxgen.errors import UserError
from jaxgen.modalities.inputs import opened
from jaxgen.modalities.wave import read_as_it_comes
from jaxgen.running.stream_recording import Recogniser
from jaxgen.running.stream_sentence import Read, Translator, sentences_of
from jaxgen.running.trained import Trained

Put = Callable[[str], None]


class Telling:
    """Tokens told as text as soon as they are whole characters."""

    def __init__(self, codec: Codec, put: Put):
        self._codec, self._put = codec, put
        self._tokens: list[int] = []
        self.text = ""

    def add(self, tokens: list[int]) -> None:
        self._tokens += tokens
        whole = self._codec.decode(np.asarray(self._tokens, np.int32)).rstrip("\ufffd")
        if whole.startswith(self.text) and len(whole) > len(self.text):
            self._put(whole[len(self.text) :])
            self.text = whole

    def end(self) -> None:
        self._put("\n")


def stream(trained: Trained, words: Sequence[str], put: Put, say: Put) -> None:
    """Reads each of `words` (a file; `-`: standard input; a text) as it comes; `put` gets pieces of what is made.

    Figures of the reading are told to `say`. UserError where the run cannot, and for what it cannot read.
    """
    task = trained.assembly.task
    codec = trained.assembly.info.meanings(trained.assembly.data)["made"].codec
    if isinstance(task, StreamsRecordings):
        recogniser = Recogniser(task, trained.variables)
        for word in words or ("-",):
            _recording(recogniser, word, Telling(codec, put), say)
    elif isinstance(task, StreamsSentences) and trained.assembly.presentation.reads_sentences:
        translator = Translator(task, trained.variables, trained.assembly.presentation.sentence)
        for word in words or ("-",):
            for reads in _sentences(word):
                _sentence(translator, reads, Telling(codec, put), say)
    else:
        raise UserError("--stream is for runs that are given recordings (CTC) or sentences; leave it out")


def _recording(recogniser: Recogniser, word: str, telling: Telling, say: Put) -> None:
    pieces = read_as_it_comes(opened(word, "a wav file"), word, recogniser.window.rate, recogniser.window.step)
    first = None
    for told in recogniser(pieces):
        telling.add(told)
        if first is None and telling.text:
            first = recogniser.heard
    telling.end()
    after = "nothing told" if first is None else f"the first token after {first:.2f} s of it"
    factor = recogniser.spent / recogniser.heard
    say(f"{recogniser.heard:.2f} s of sound, {after}, real-time factor {factor:.3f}")


def _sentences(word: str) -> Iterator[Iterator[Read]]:
    file: IO[bytes] = opened(word, "a text") if word == "-" or os.path.isfile(word) else io.BytesIO(word.encode())
    return sentences_of(file)


def _sentence(translator: Translator, reads: Iterator[Read], telling: Telling, say: Put) -> None:
    for told, _ in translator(reads):
        telling.add(told)
    telling.end()
