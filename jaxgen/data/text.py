"""Texts as an experiment names them: a builtin one or a file of the user's, read as a stream of tokens."""
# SPDX-License-Identifier: Apache-2.0

import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.data import builtin
from jaxgen.data.sources import ResidentStream, stream_batches
from jaxgen.errors import UserError, nearest
from jaxgen.types import Spec


@dataclass(frozen=True)
class Characters:
    """A text as a stream of characters: the builtin `python-docs`, or a file of the user's by its path."""

    name: str = "python-docs"
    batch_size: int = 32
    length: int = 128  # characters a row and batch, T

    def __post_init__(self):
        if self.batch_size < 1 or self.length < 1:
            raise UserError(f"batch_size is {self.batch_size} and length {self.length}; give at least 1 of each")

    @functools.cached_property
    def texts(self) -> dict[str, str]:
        """`train` and `test`: a file is cut nine to one."""
        if self.name == "python-docs":
            return builtin.python_docs()
        if not os.path.isfile(self.name):
            raise UserError(
                f"data.name is {self.name!r}: neither a builtin text nor a file{nearest(self.name, ['python-docs'])}"
            )
        try:
            with open(self.name, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{self.name} cannot be read as UTF-8 text ({error}); convert it, or name another"
            ) from None
        cut = len(text) * 9 // 10
        return {"train": text[:cut], "test": text[cut:]}

    @functools.cached_property
    def alphabet(self) -> str:
        """The characters of both splits in code order; a token is a character's place here."""
        return "".join(sorted(set(self.texts["train"]) | set(self.texts["test"])))

    def encode(self, text: str) -> np.ndarray:
        """[N] int32 tokens; UserError names the first character that the alphabet lacks."""
        known, codes = _codes(self.alphabet), _codes(text)
        places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        missing = np.flatnonzero(known[places] != codes)
        if len(missing):
            character = text[missing[0]]
            raise UserError(f"the character {character!r} does not occur in {self.name}; leave it out of the prompt")
        return places.astype(np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        return "".join(self.alphabet[token] for token in tokens)

    def spec(self) -> Spec:
        return Spec(length=self.length, vocabulary=len(self.alphabet), continues=True)

    def source(self) -> ResidentStream:
        source = ResidentStream(self.encode(self.texts["train"]), self.spec(), self.batch_size)
        if source.batches < 1:
            raise UserError(
                f"{self.name} has {len(source.tokens)} characters, too few for data.batch_size={self.batch_size} rows "
                f"of data.length={self.length}; lower one of them"
            )
        return source

    def evaluation(self, split: str) -> dict[str, Any]:
        """The split as a stream, [n, B, T+1]; as many rows, a power of two, as leave about a hundredth unread."""
        tokens = self.encode(self.texts[split])
        rows = max(1, min(self.batch_size, len(tokens) // (100 * self.length)))
        batches = stream_batches(tokens, self.length, 1 << (rows.bit_length() - 1), self.spec())
        if not len(batches["tokens"]):
            raise UserError(f"the {split} split of {self.name} is shorter than data.length={self.length}; lower that")
        return batches


def _codes(text: str) -> np.ndarray:
    """[N] the code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
