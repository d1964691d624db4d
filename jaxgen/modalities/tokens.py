"""Texts: sentences that are given, prompts that are continued, samples as text."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UserError
from jaxgen.modalities.inputs import text_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.reporting.artefacts import Artefact
from jaxgen.types import Framing, Tokens

_BETWEEN = "\n\n――――――――\n\n"


@dataclass(frozen=True)
class TokensPresents:
    """Tokens of one vocabulary."""

    tokens: Tokens
    meaning: Meaning
    shown = 4

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Texts as rows: of a SOURCE padded to its length with a `mask`; else as long as the longest, each whole."""
        encoded = [self._encoded(word) for word in words]
        if self.tokens.framing is Framing.SOURCE:
            return self._source(encoded)
        if any(len(tokens) < 2 for tokens in encoded):
            raise UserError(f"a text needs at least two {self._units} to be scored: the first one is given")
        if self.tokens.framing is Framing.TARGET:
            return self._targets(encoded)
        value, own = _padded(encoded, max(map(len, encoded)))
        return {"value": value} if own.all() else {"value": value, "mask": own[:, 1:]}

    def begin(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Prompts [N, P], and where they are known if they are not of one length."""
        encoded = [self._encoded(word) for word in words]
        value, own = _padded(encoded, max(map(len, encoded)))
        return {"value": value} if own.all() else {"value": value, "known": own}

    def captions(self, arrays: Arrays) -> list[str]:
        return [self._text(tokens, mask) for tokens, mask in zip(arrays["value"], self._masks(arrays), strict=True)]

    def show(self, arrays: Arrays, captions: Sequence[str] | None) -> Artefact:
        texts = self.captions(arrays)
        if captions is not None:
            texts = [f"{caption}\n{text}" for caption, text in zip(captions, texts, strict=True)]
        return Artefact("txt", _BETWEEN.join(texts).encode("utf-8", "replace"))

    @property
    def _units(self) -> str:
        return f"{self.tokens.unit.value}s"

    def _encoded(self, word: str) -> np.ndarray:
        text = text_of(word)
        tokens = self.meaning.codec.encode(text)
        if not len(tokens):
            raise UserError("the text is empty; give at least one word, or leave --given out")
        return tokens

    def _source(self, encoded: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        length = self.tokens.length
        if (longest := max(map(len, encoded))) > length:
            raise UserError(f"a text has {longest} {self._units}, and the model reads {length}; give less")
        value, own = _padded(encoded, length)
        return {"value": value, "mask": own}

    def _targets(self, encoded: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """From "start" to "end", padded with ends that do not count."""
        length, end = max(map(len, encoded)) + 1, self.tokens.vocabulary - 1
        value = np.full((len(encoded), length + 1), end, np.int32)
        value[:, 0] = end + 1
        for row, tokens in enumerate(encoded):
            value[row, 1 : len(tokens) + 1] = tokens
        return {"value": value, "mask": np.stack([np.arange(length) <= len(tokens) for tokens in encoded])}

    def _masks(self, arrays: Arrays) -> Sequence[np.ndarray | None]:
        given = self.tokens.framing is Framing.SOURCE and "mask" in arrays
        return arrays["mask"] if given else [None] * len(arrays["value"])

    def _text(self, tokens: np.ndarray, mask: np.ndarray | None) -> str:
        if mask is not None:
            tokens = tokens[mask]
        if self.tokens.framing is Framing.TARGET:
            end = self.tokens.vocabulary - 1
            made = [token for token in tokens.tolist() if token != end + 1]
            tokens = np.asarray(made[: made.index(end) if end in made else None], np.int32)
        return self.meaning.codec.decode(tokens)


def _padded(encoded: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts as rows [N, length], and where [N, length] each row's own tokens are."""
    value = np.stack([np.pad(tokens, (0, length - len(tokens))) for tokens in encoded])
    return value, np.stack([np.arange(length) < len(tokens) for tokens in encoded])
