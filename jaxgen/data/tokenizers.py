"""What a text's tokens are: characters, bytes, words, or byte pairs; each choice is fitted to a text once.

A choice (`Characters` ...) is a part of the experiment. `fit` makes of it the vocabulary that the tokens are read and
written by, `read` makes the same one of what a run has kept: a JSON object, in which nothing is executed.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from jaxgen.data.text_pieces import behind_a_word, pieces
from jaxgen.errors import UserError
from jaxgen.types import Unit

UNKNOWN, END = "<unk>", "<eos>"  # as Penn Treebank and WikiText spell them
_BYTES = 256


class Vocabulary(Protocol):
    """A tokenizer that has been fitted."""

    unit: ClassVar[Unit]

    @property
    def size(self) -> int:
        """V; tokens are 0 .. V-1."""

    @property
    def token_bytes(self) -> tuple[int, ...]:
        """How many bytes of UTF-8 each token stands for; empty where a token stands for no certain bytes."""

    def encode(self, text: str) -> np.ndarray:
        """[N] int32 tokens; UserError names what the vocabulary lacks."""

    def decode(self, tokens: np.ndarray) -> str: ...

    def cut(self, text: str, place: int) -> int:
        """The first place from `place` on, or the end, where a text falls into two whose tokens are its own."""

    def document(self) -> dict[str, Any]:
        """The JSON object that `read` makes the same vocabulary of."""


@dataclass(frozen=True)
class Alphabet:
    """Characters in code order; a token is a character's place."""

    characters: str
    unit = Unit.CHARACTER
    token_bytes = ()

    @property
    def size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        known, codes = _codes(self.characters), _codes(text)
        places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        missing = np.flatnonzero(known[places] != codes)
        if len(missing):
            raise UserError(f"the character {text[missing[0]]!r} does not occur in the data; leave it out of the text")
        return places.astype(np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        return "".join(self.characters[token] for token in tokens)

    def cut(self, text: str, place: int) -> int:
        return min(place, len(text))

    def document(self) -> dict[str, Any]:
        return {"characters": self.characters}


@dataclass(frozen=True)
class Octets:
    """The bytes of a text's UTF-8; whatever bytes are drawn, what is no UTF-8 is written as U+FFFD."""

    unit = Unit.BYTE
    size = _BYTES
    token_bytes = (1,) * _BYTES

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(_utf8(text), np.uint8).astype(np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        return bytes(np.asarray(tokens, np.uint8)).decode("utf-8", errors="replace")

    def cut(self, text: str, place: int) -> int:
        return min(place, len(text))

    def document(self) -> dict[str, Any]:
        return {"bytes": _BYTES}


@dataclass(frozen=True)
class WordList:
    """Words, among them `<unk>` for every word that is not in the list and `<eos>` for the end of a line."""

    words: tuple[str, ...]
    unit = Unit.WORD
    token_bytes = ()

    def __post_init__(self):
        if len(self._places) != len(self.words) or not {UNKNOWN, END} <= set(self.words):
            raise UserError(f"a list of words holds {UNKNOWN} and {END}, and no word twice; restore it")

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}

    @property
    def size(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> np.ndarray:
        """Words between white space, and `<eos>` for each line break: a prompt may end in the middle of a line."""
        unknown = self._places[UNKNOWN]
        return np.asarray([self._places.get(word, unknown) for word in _words(text)], np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """The words with one space between them, and a line break for each `<eos>`."""
        lines: list[list[str]] = [[]]
        for word in (self.words[token] for token in tokens):
            if word == END:
                lines.append([])
            else:
                lines[-1].append(word)
        return "\n".join(" ".join(line) for line in lines)

    def cut(self, text: str, place: int) -> int:
        return behind_a_word(text, place)

    def document(self) -> dict[str, Any]:
        return {"words": list(self.words)}


@dataclass(frozen=True)
class Merges:
    """Byte-level byte pairs: the `tokenizers` library's own JSON; any text is its tokens and back."""

    content: str
    unit = Unit.SUBWORD

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return _library().Tokenizer.from_str(self.content)

    @property
    def size(self) -> int:
        return self._tokenizer.get_vocab_size()

    @functools.cached_property
    def token_bytes(self) -> tuple[int, ...]:
        # its alphabet has one character a byte, so that a token is as many bytes as characters
        return tuple(len(self._tokenizer.id_to_token(token)) for token in range(self.size))

    def encode(self, text: str) -> np.ndarray:
        _utf8(text)
        return np.asarray(self._tokenizer.encode(text).ids, np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        return self._tokenizer.decode(np.asarray(tokens).tolist(), skip_special_tokens=False)

    def cut(self, text: str, place: int) -> int:
        return behind_a_word(text, place)

    def document(self) -> dict[str, Any]:
        return {"byte_pairs": json.loads(self.content)}


@dataclass(frozen=True)
class Characters:
    """Every character is a token: those of all splits, so that held-out text has no unknown ones."""

    def fit(self, train: Iterable[str], others: Iterable[str]) -> Alphabet:
        found: set[str] = set()
        for text in itertools.chain(train, others):
            found.update(text)
        return Alphabet("".join(sorted(found)))

    def read(self, document: dict[str, Any]) -> Alphabet:
        characters = _entry(document, "characters", str)
        if list(characters) != sorted(set(characters)) or not characters:
            raise _malformed()
        return Alphabet(characters)


@dataclass(frozen=True)
class Bytes:
    """Every byte of a text's UTF-8 is a token: 256 of them, whatever the text."""

    def fit(self, train: Iterable[str], others: Iterable[str]) -> Octets:
        return Octets()

    def read(self, document: dict[str, Any]) -> Octets:
        if _entry(document, "bytes", int) != _BYTES:
            raise _malformed()
        return Octets()


@dataclass(frozen=True)
class Words:
    """Words between white space, as the word-level benchmarks (Penn Treebank, WikiText) have them.

    Each line ends in `<eos>`. The vocabulary is what the training text uses at least `smallest_count` times, the most
    frequent word first; every other word is `<unk>`.
    """

    smallest_count: int = 1

    def __post_init__(self):
        if self.smallest_count < 1:
            raise UserError(f"tokens.smallest_count is {self.smallest_count}; give at least 1")

    def fit(self, train: Iterable[str], others: Iterable[str]) -> WordList:
        counts = Counter(word for text in train for piece in pieces(text, behind_a_word) for word in _words(piece))
        kept = [word for word, count in counts.items() if count >= self.smallest_count or word in (UNKNOWN, END)]
        kept += [word for word in (UNKNOWN, END) if word not in counts]
        return WordList(tuple(sorted(kept, key=lambda word: (-counts[word], word))))

    def read(self, document: dict[str, Any]) -> WordList:
        words = _entry(document, "words", list)
        if not all(isinstance(word, str) for word in words):
            raise _malformed()
        return WordList(tuple(words))


@dataclass(frozen=True)
class BytePairs:
    """Byte-level byte-pair encoding (arXiv 1508.07909; over bytes as in GPT-2), trained on the training text alone.

    `size` is the vocabulary's, the 256 bytes among it; a short text may have fewer pairs to merge.
    """

    size: int = 4096

    def __post_init__(self):
        if self.size < _BYTES:
            raise UserError(f"tokens.size is {self.size}; give at least {_BYTES}, the single bytes")

    def fit(self, train: Iterable[str], others: Iterable[str]) -> Merges:
        library = _library()
        bytes_ = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = bytes_, library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=self.size, initial_alphabet=sorted(bytes_.alphabet()), show_progress=False
        )
        tokenizer.train_from_iterator(_valid(piece for text in train for piece in pieces(text, behind_a_word)), trainer)
        return Merges(tokenizer.to_str())

    def read(self, document: dict[str, Any]) -> Merges:
        merges = Merges(json.dumps(_entry(document, "byte_pairs", dict), ensure_ascii=False))
        try:
            size = merges.size
        except UserError:
            raise
        except Exception:  # the library raises nothing more special for a text that is not its own
            raise _malformed() from None
        if size < _BYTES:
            raise _malformed()
        return merges


Tokenizer = Characters | Bytes | Words | BytePairs


def grown(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """A vocabulary's document with the tokens of another's added, and where each of the old tokens stands in it.

    UserError where tokens cannot be added.
    """
    match old, new:
        case {"characters": str(before)}, {"characters": str(more)}:
            characters = "".join(sorted({*before, *more}))
            return {"characters": characters}, tuple(characters.index(one) for one in before)
        case {"words": list(before)}, {"words": list(more)}:
            known = set(before)
            return {"words": [*before, *(word for word in more if word not in known)]}, tuple(range(len(before)))
    raise UserError(
        "only characters and words can be added to a vocabulary of the same kind; give data the start's kind of tokens"
    )


def whole_lines(text: str, tokens: Tokenizer) -> str:
    """A file's text as it is read: for words its last line ends as all the others do."""
    return text + "\n" if isinstance(tokens, Words) and not text.endswith("\n") else text


def with_bytes(batches: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Evaluation batches [n, B, ...] with the number of "bytes" [n, B, T] of every target, for subword tokens."""
    if vocabulary.unit is not Unit.SUBWORD:
        return batches
    return {**batches, "made": {**batches["made"], "bytes": target_bytes(batches["made"]["value"], vocabulary)}}


def target_bytes(tokens: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """[..., T] float32: the bytes of UTF-8 that each target of rows [..., T+1] stands for, "end" for none."""
    return np.asarray((*vocabulary.token_bytes, 0, 0), np.float32)[tokens[..., 1:]]


def _words(text: str) -> list[str]:
    return [word for line in text.split("\n") for word in (*line.split(), END)][:-1]


def _codes(text: str) -> np.ndarray:
    """[N] the code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _valid(texts: Iterable[str]) -> Iterator[str]:
    """The same texts; UserError where one cannot be written as UTF-8."""
    for text in texts:
        _utf8(text)
        yield text


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, from a command line that was no UTF-8
        raise UserError(f"the text holds {text[error.start]!r}, which is no character; leave it out") from None


def _library() -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise UserError(
            "tokens=BytePairs needs the tokenizers package; run `pip install 'jaxgen[bpe]'`, or choose Bytes"
        ) from None
    return tokenizers


def _entry(document: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(document, dict) or not isinstance(document.get(name), kind):
        raise _malformed()
    return document[name]


def _malformed() -> UserError:
    return UserError("it holds no vocabulary of these tokens as jaxgen writes it")
