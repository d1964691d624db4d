"""Long texts in pieces: where one may be cut so that its tokens are the same, and how it is encoded piece by piece."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

_PIECE = 1 << 20  # characters that are encoded at once, about: their tokens take some hundred times the text's memory
_WORDS_END = re.compile(r"(?<=\S)[ \n]")


class Encoding(Protocol):
    """What is needed of a fitted tokenizer."""

    @property
    def size(self) -> int: ...

    def encode(self, text: str) -> np.ndarray: ...

    def cut(self, text: str, place: int) -> int: ...


def encoded(vocabulary: Encoding, text: str, size: int = _PIECE) -> np.ndarray:
    """The tokens [N] of a text of any length, encoded piece by piece, of type `token_type`."""
    kind = token_type(vocabulary)
    return np.concatenate([vocabulary.encode(piece).astype(kind) for piece in pieces(text, vocabulary.cut, size)])


def token_type(vocabulary: Encoding) -> np.dtype:
    """The smallest unsigned type that holds the tokens, "start" and "end" among them."""
    return np.min_scalar_type(vocabulary.size + 1)


def pieces(text: str, cut: Callable[[str, int], int], size: int = _PIECE) -> Iterator[str]:
    """A text in pieces of about so many characters, one at least, by where it may be cut."""
    start = 0
    while start < len(text) or not start:
        end = cut(text, start + size)
        yield text[start:end] if end - start < len(text) else text
        if end >= len(text):
            return
        start = end


def behind_a_word(text: str, place: int) -> int:
    """The first place from `place` on, or the end, between a word and the space or line break that follows it.

    There words end, and no token of byte-level byte pairs goes on: their words hold white space only at the beginning.
    """
    found = _WORDS_END.search(text, place)
    return found.start() if found else len(text)
