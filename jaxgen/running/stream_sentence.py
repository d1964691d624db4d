"""A sentence translated while it is read, word by word."""
# SPDX-License-Identifier: Apache-2.0

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

import numpy as np

from jaxgen.core.task import TranslatesWhileReading
from jaxgen.errors import UserError
from jaxgen.running.interpreter import Interpreter
from jaxgen.types import Batch, Variables


class Read(NamedTuple):
    """What has come of a sentence so far: its whole words, and whether that is all of it."""

    text: str
    ended: bool


class Translator:
    """The tokens made of sentences while they come, each the likeliest after those before it."""

    def __init__(
        self,
        task: TranslatesWhileReading,
        variables: Variables,
        request: Callable[[str], tuple[Batch, np.ndarray]],
    ):
        """`request` gives what is asked for a text, and the tokens [n] of the text."""
        self._task, self._request, self._interpreter = task, request, Interpreter(task, variables)

    def __call__(self, reads: Iterable[Read]) -> Iterator[tuple[list[int], int]]:
        """(the tokens [n] made after each step of the reading, the places read by then), up to the end."""
        self._interpreter.begin()
        places = 0
        for text, ended in reads:
            request, tokens = self._request(text)
            if self._task.reads is None:
                if ended:
                    self._interpreter.read_whole(request)
                    places = len(tokens)
            else:
                places = self._read(tokens, places, ended)
            yield self._interpreter.made(ended), places
            if ended:
                return

    def _read(self, tokens: np.ndarray, places: int, ended: bool) -> int:
        """Reads on from `places`, as many at a time as the network does; the places read then."""
        step = self._task.reads
        while len(tokens) - places >= step or (ended and places < len(tokens)):
            now = tokens[places : places + step]
            padded = np.pad(now, (0, step - len(now)))
            self._interpreter.read(padded[None], (np.arange(step) < len(now))[None])
            places += len(now)
        return places


def sentences_of(file: IO[bytes], name: str) -> Iterator[Iterator[Read]]:
    """The sentences of a file, a line each, each as it is read: once more for every word that is whole.

    UserError, which calls the file `name`, where it ends without one.
    """
    characters, empty = _characters(file), True
    for character in characters:
        if character.strip():
            empty = False
            yield _reads(character, characters)
    if empty:
        raise UserError(f"{name} is empty; give a sentence")


def _reads(first: str, characters: Iterator[str]) -> Iterator[Read]:
    text = first
    for character in characters:
        if character == "\n":
            break
        if character.isspace() and not text[-1].isspace():
            yield Read(text, False)
        text += character
    yield Read(text.strip(), True)


def _characters(file: IO[bytes]) -> Iterator[str]:
    """The characters of a text in UTF-8 as they come."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    while more := file.read1(4096):
        yield from decoder.decode(more)
    yield from decoder.decode(b"", final=True)
