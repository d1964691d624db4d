"""Texts: prompts that are continued, sentences that are given, sentences that are made for them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxgen.data.targets import target_arrays
from jaxgen.data.tokenizers import target_bytes
from jaxgen.errors import UserError
from jaxgen.metrics.translation import Incomparable
from jaxgen.metrics.unmeasured import Figures, none_of
from jaxgen.modalities.inputs import lines_of, text_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.modalities.text_measures import TextMeasures, text_measures
from jaxgen.reporting.artefacts import PARTED, Artefact
from jaxgen.reporting.terminal import say
from jaxgen.types import Batch, Framing, Tokens, Unit

_NEAREST = 100_000  # training texts of which the nearest is chosen
_FEW = 4  # tokens of a sentence at random, at most


@dataclass(frozen=True)
class Texts:
    """What every kind of text shares."""

    tokens: Tokens
    meaning: Meaning
    shown = 4

    def captions(self, arrays: Arrays) -> list[str]:
        return [self._text(tokens) for tokens in arrays["value"]]

    def words(self, arrays: Arrays) -> list[str]:
        return self.captions(arrays)

    def show(
        self, arrays: Arrays, captions: Sequence[str] | None, references: Sequence[str] | None = None
    ) -> Artefact:
        texts = with_references(self.captions(arrays), references)
        if captions is not None:
            texts = [f"{caption}\n{text}" for caption, text in zip(captions, texts, strict=True)]
        return Artefact("txt", PARTED.join(texts).encode("utf-8", "replace"))

    @property
    def _units(self) -> str:
        return f"{self.tokens.unit.value}s"

    def _encoded(self, text: str) -> np.ndarray:
        tokens = self.meaning.codec.encode(text)
        if not len(tokens):
            raise UserError("the text is empty; give at least one word")
        return tokens

    def _text(self, tokens: np.ndarray) -> str:
        return self.meaning.codec.decode(tokens)


@dataclass(frozen=True)
class TextPresents(Texts):
    """Running text. Of documents each begins with "start" and ends with "end", which are shown as nothing."""

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Texts as rows as long as the longest, each whole; `bytes` [N, T] of each target where tokens are several."""
        encoded = [self._framed(self._encoded(text_of(word)), whole=True) for word in words]
        if any(len(tokens) < 2 for tokens in encoded):
            raise UserError(f"a text needs at least two {self._units} to be scored: the first one is given")
        value, own = _padded(encoded, max(map(len, encoded)))
        arrays = {"value": value} if own.all() else {"value": value, "mask": own[:, 1:]}
        if self.tokens.unit is Unit.SUBWORD:
            arrays["bytes"] = target_bytes(value, self.meaning.codec)
        return arrays

    def begin(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Prompts [N, P], and where they are known if they are not of one length; their ends where they are long."""
        encoded = [self._latest(self._framed(self._encoded(text_of(word)), whole=False)) for word in words]
        value, own = _padded(encoded, max(map(len, encoded)))
        return {"value": value} if own.all() else {"value": value, "known": own}

    def _latest(self, tokens: np.ndarray) -> np.ndarray:
        """As many of the last tokens as a row that the model was trained on."""
        most = self.tokens.length
        if len(tokens) > most:
            say(f"a prompt has {len(tokens):,} {self._units}; its last {most} are used, as in training")
        return tokens[-most:]

    def _framed(self, tokens: np.ndarray, whole: bool) -> np.ndarray:
        """A document's tokens behind "start" and, where it is `whole`, before "end"; as they are in a stream."""
        if not self._ends:
            return tokens
        end = self.tokens.vocabulary - 1
        return np.concatenate([[end + 1], tokens, [end] if whole else []]).astype(np.int32)

    @property
    def _ends(self) -> bool:
        return self.tokens.framing is Framing.PACKED

    def _text(self, tokens: np.ndarray) -> str:
        return super()._text(before_end(tokens, self.tokens.vocabulary - 1) if self._ends else tokens)


@dataclass(frozen=True)
class SourcePresents(Texts):
    """Sentences that are given. A file's lines, and standard input's, are a sentence each."""

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Padded to the model's length, with a `mask`."""
        value, own = _padded(self._sentences(words), self.tokens.length)
        return {"value": value, "mask": own}

    def _sentences(self, words: Sequence[str]) -> list[np.ndarray]:
        return [self._sentence(place, line) for word in words for place, line in lines_of(word)]

    def _sentence(self, place: str, line: str) -> np.ndarray:
        if not line.strip():
            raise UserError(f"{place} is empty; give a sentence")
        tokens, length = self._encoded(line.strip()), self.tokens.length
        if len(tokens) > length:
            raise UserError(f"{place} has {len(tokens)} {self._units}, and the model reads {length}; give less")
        if self.tokens.unit is Unit.SUBWORD and not line.isascii() and not self._readable(tokens):
            raise UserError(
                f"{place} has no letter that a token of the model holds, as in a script that it was not trained on; "
                "give a sentence in its language"
            )
        return tokens

    def assorted(self, count: int) -> dict[str, np.ndarray]:
        """So many sentences of a few tokens each, all drawn evenly; always the same."""
        draws, length = np.random.default_rng(0), self.tokens.length
        words = draws.integers(self.tokens.vocabulary, size=(count, min(_FEW, length)), dtype=np.int32)
        value, own = _padded([row[: 1 + n % len(row)] for n, row in enumerate(words)], length)
        return {"value": value, "mask": own}

    def _readable(self, tokens: np.ndarray) -> str:
        """What the tokens say one by one: nothing where each is but a byte of a longer letter."""
        texts = (self._text(tokens[place : place + 1]) for place in range(len(tokens)))
        return "".join(texts).replace("\ufffd", "").strip()

    def captions(self, arrays: Arrays) -> list[str]:
        return [self._text(tokens[own]) for tokens, own in zip(arrays["value"], arrays["mask"], strict=True)]

    def lengths(self, arrays: Arrays) -> np.ndarray:
        return np.asarray(arrays["mask"]).sum(axis=1)

    def pieces(self, arrays: Arrays) -> list[list[str]]:
        """The text of each place of each row."""
        return [
            [self._text(tokens[place : place + 1]) for place in np.flatnonzero(own)]
            for tokens, own in zip(arrays["value"], arrays["mask"], strict=True)
        ]


@dataclass(frozen=True)
class TargetPresents(Texts):
    """Sentences that are made for what is given, measured against references."""

    draws = 1

    @property
    def training(self) -> int:
        """None where no text can be chosen by what is given."""
        return 0 if self._measures.nearest is None else _NEAREST

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """From "start" to "end", padded with ends that do not count."""
        encoded, end = [self._encoded(text_of(word)) for word in words], self._end
        return target_arrays(encoded, max(map(len, encoded)) + 1, end)

    def lines(self, arrays: Arrays) -> list[str]:
        """A line for each; with alternatives a line for each of them, its row's number and its score before it."""
        if "alternatives" not in arrays:
            return [_one_line(text) for text in self.captions(arrays)]
        return [
            f"{row}\t{score:.4f}\t{_one_line(self._text(tokens))}"
            for row, (several, scores) in enumerate(zip(arrays["alternatives"], arrays["scores"], strict=True), 1)
            for tokens, score in zip(several, scores, strict=True)
            if np.isfinite(score)
        ]

    def lengths(self, arrays: Arrays) -> np.ndarray:
        return np.asarray([len(self._own(row)) for row in arrays["value"]])

    def pieces(self, arrays: Arrays) -> list[list[str]]:
        """The text of each token of each row up to its end."""
        return [[*(self._text(token[None]) for token in self._own(row)), "<end>"] for row in arrays["value"]]

    def measures(self, drawn: Sequence[Batch], real: Batch) -> Figures:
        """Of the first set of samples: the figures of translations, of captions or of what was recognised."""
        return self._measures.figures(self.captions(drawn[0]["made"]), self.captions(real["made"]))

    def variety(self, drawn: Batch, real: Batch) -> Figures:
        return {}

    def references(
        self, train: Batch, real: Batch, captions: tuple[Sequence[str], Sequence[str]]
    ) -> dict[str, Figures]:
        """The figures of the training text whose given is nearest, where nearness is known."""
        measures = self._measures
        if measures.nearest is None:
            return {}
        try:
            found = measures.nearest(train, self.captions(train["made"]), real, captions)
        except Incomparable as error:
            return {measures.baseline: none_of(measures.names, str(error))}
        return {measures.baseline: measures.figures(found, self.captions(real["made"]))}

    @property
    def _measures(self) -> TextMeasures:
        return text_measures(self.meaning.given)

    @property
    def _end(self) -> int:
        return self.tokens.vocabulary - 1

    def _own(self, tokens: np.ndarray) -> np.ndarray:
        return before_end(tokens, self._end)

    def _text(self, tokens: np.ndarray) -> str:
        return self.meaning.codec.decode(self._own(tokens))


_OF_FRAMING = {Framing.SOURCE: SourcePresents, Framing.TARGET: TargetPresents}  # the others are running text


def text_presents(tokens: Tokens, meaning: Meaning) -> Texts:
    """How tokens are presented, by their framing. UserError where a vocabulary has no room for the end of documents."""
    if tokens.framing is Framing.PACKED and tokens.vocabulary != meaning.codec.size + 1:
        raise UserError("this run was trained when documents had no end; train it again, or use the version of then")
    return _OF_FRAMING.get(tokens.framing, TextPresents)(tokens, meaning)


def with_references(texts: Sequence[str], references: Sequence[str] | None) -> list[str]:
    """Each text with what it should be on a line of its own, where that is known."""
    if references is None:
        return list(texts)
    return [f"{text}\nreference: {reference}" for text, reference in zip(texts, references, strict=True)]


def before_end(tokens: np.ndarray, end: int) -> np.ndarray:
    """A row's tokens before its first `end`, without "start", which is the token after it."""
    tokens = tokens[tokens != end + 1]
    ends = np.flatnonzero(tokens == end)
    return tokens[: ends[0]] if len(ends) else tokens


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _padded(encoded: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts as rows [N, length], and where [N, length] each row's own tokens are."""
    value = np.stack([np.pad(tokens, (0, length - len(tokens))) for tokens in encoded])
    return value, np.stack([np.arange(length) < len(tokens) for tokens in encoded])
