"""`jaxgen sample --stream`: a recording or sentences read as they come, and what is made of them told at once."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jaxgen.core.data import Codec
from jaxgen.core.task import StreamsRecordings, TranslatesWhileReading
from jaxgen.errors import UserError
from jaxgen.modalities.inputs import name_of, sound_as_it_comes, text_as_it_comes
from jaxgen.modalities.wave import read_as_it_comes
from jaxgen.running.stream_recording import Listener, Recogniser, SpeechTranslator
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
    codec = trained.assembly.info.meanings(trained.assembly.data)["made"].codec
    if (listener := listener_of(trained)) is not None:
        for word in words or ("-",):
            _recording(listener, word, Telling(codec, put), say)
        return
    task, presentation = trained.assembly.task, trained.assembly.presentation
    if not (isinstance(task, TranslatesWhileReading) and presentation.reads_sentences):
        raise UserError("--stream is for runs that are given recordings or sentences; leave it out")
    translator = Translator(task, trained.variables, presentation.sentence)
    for word in words or ("-",):
        with text_as_it_comes(word) as file:
            for reads in sentences_of(file, name_of(word)):
                _sentence(translator, reads, Telling(codec, put))


def listener_of(trained: Trained) -> Listener | None:
    """What tells recordings while they come; None where a run is given none. UserError where it needs them whole."""
    task, variables = trained.assembly.task, trained.variables
    if isinstance(task, StreamsRecordings):
        return Recogniser(task, variables)
    if isinstance(task, TranslatesWhileReading) and trained.assembly.presentation.reads_recordings:
        return SpeechTranslator(task, variables)
    return None


def _recording(listener: Listener, word: str, telling: Telling, say: Put) -> None:
    first, window = None, listener.window
    with sound_as_it_comes(word) as file:
        for told in listener(read_as_it_comes(file, word, window.rate, window.step)):
            telling.add(told)
            if first is None and telling.text:
                first = listener.heard
    telling.end()
    after = "nothing told" if first is None else f"the first token after {first:.2f} s of it"
    factor = listener.spent / listener.heard
    say(f"{listener.heard:.2f} s of sound, {after}, real-time factor {factor:.3f}")


def _sentence(translator: Translator, reads: Iterator[Read], telling: Telling) -> None:
    for told, _ in translator(reads):
        telling.add(told)
    telling.end()
