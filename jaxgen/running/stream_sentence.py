"""A sentence translated while it is read, word by word."""
# SPDX-License-Identifier: Apache-2.0

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

import jax
import numpy as np

from jaxgen.core.task import StreamsSentences
from jaxgen.types import Batch, Variables


class Read(NamedTuple):
    """What has come of a sentence so far: its whole words, and whether that is all of it."""

    text: str
    ended: bool


class Translator:
    """The tokens made of sentences while they come, each the likeliest after those before it."""

    def __init__(self, task: StreamsSentences, variables: Variables, request: Callable[[str], tuple[Batch, int]]):
        """`request` gives what is asked for a text, and how many places of the given that text has."""
        self._task, self._variables, self._request = task, variables, request
        self._following = jax.jit(task.following)

    def __call__(self, reads: Iterable[Read]) -> Iterator[tuple[list[int], int]]:
        """(the tokens [n] made after each step of the reading, the places read by then), up to the end."""
        tokens = np.full((1, self._task.length + 1), self._task.end, np.int32)
        tokens[0, 0], made, ended = self._task.start, 0, False
        for text, whole in reads:
            request, count = self._request(text)
            begun = made
            while not ended and made < self._task.length:
                token, wanted = self._following(self._variables, request, tokens, np.int32(made))
                if not whole and not 0 < int(wanted[0]) <= count:
                    break
                made += 1
                tokens[0, made], ended = int(token[0]), int(token[0]) == self._task.end
            yield [token for token in tokens[0, begun + 1 : made + 1].tolist() if token != self._task.end], count
            if whole:
                return


def sentences_of(file: IO[bytes]) -> Iterator[Iterator[Read]]:
    """The sentences of a file, a line each, each as it is read: once more for every word that is whole."""
    characters = _characters(file)
    for character in characters:
        if character.strip():
            yield _reads(character, characters)


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
