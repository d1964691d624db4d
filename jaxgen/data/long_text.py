"""Texts that need not fit the memory: encoded once, piece by piece, into token files that are read where they lie."""
# SPDX-License-Identifier: Apache-2.0

import codecs
import functools
import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jaxgen.data.copies import copy_with
from jaxgen.data.files import in_utf8, with_plain_breaks
from jaxgen.data.sources import HostStream, stream_evaluation, stream_source
from jaxgen.data.text_pieces import behind_a_word, encoded, token_type
from jaxgen.data.tokenizers import Bytes, Characters, Tokenizer, Vocabulary, Words
from jaxgen.errors import UserError
from jaxgen.types import Framing, Spec, Tokens

_READ = 1 << 20  # bytes at a time
_LONGEST_MARK = 4


@dataclass(frozen=True)
class LongText:
    """A stream as `Text` has it, of files of any size in UTF-8, gzipped or not: the same tokens and batches.

    `cache` is the folder of the token files, two bytes a token for up to 65,534 tokens of a vocabulary; what has been
    encoded with the same vocabulary is taken from there.
    """

    train: str
    test: str
    cache: str
    validation: str | None = None
    batch_size: int = 32
    length: int = 128  # tokens a row and batch, T
    tokens: Tokenizer = Bytes()
    places: ClassVar[tuple[str, ...]] = ("train", "test", "validation", "cache")  # where the text lies
    kept: Vocabulary | None = field(init=False, repr=False, compare=False, default=None)  # a vocabulary that is given

    def __post_init__(self):
        if self.batch_size < 1 or self.length < 1:
            raise UserError(f"batch_size is {self.batch_size} and length {self.length}; give at least 1 of each")

    @property
    def name(self) -> str:
        return self.train

    def _file(self, split: str) -> str:
        path = {"train": self.train, "validation": self.validation, "test": self.test}.get(split)
        if path is None:
            raise UserError(f"{self.name} has no {split} split; name it by data.{split}")
        if not os.path.isfile(path):
            raise UserError(f"data.{split} is {path!r}, and there is no such file; name one")
        return path

    @property
    def _splits(self) -> tuple[str, ...]:
        return ("train", *(("validation",) if self.validation is not None else ()), "test")

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Fitted to the training text, a piece at a time; `with_vocabulary` puts a kept one in its place."""
        if self.kept is not None:
            return self.kept
        others = (piece for split in self._fitted_to()[1:] for piece in read_pieces(self._file(split)))
        return self.tokens.fit(read_pieces(self._file("train")), others)

    def _fitted_to(self) -> tuple[str, ...]:
        """The splits that the vocabulary is fitted to."""
        return self._splits if isinstance(self.tokens, Characters) else ("train",)

    @functools.cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    def _digest(self, split: str) -> str:
        """SHA-256 of a split's file."""
        if split not in self._digests:
            with open(self._file(split), "rb") as file:
                self._digests[split] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[split]

    def text_digest(self) -> str:
        return _together(self._digest(split) for split in self._fitted_to())

    def content(self) -> str:
        """SHA-256 of the files of all splits."""
        return _together(self._digest(split) for split in self._splits)

    def vocabulary_document(self) -> dict[str, Any]:
        return self.vocabulary.document()

    def with_vocabulary(self, document: dict[str, Any]) -> "LongText":
        """These data with the vocabulary that `vocabulary.document()` wrote, whatever the text has become."""
        return copy_with(self, "vocabulary", kept=self.tokens.read(document))

    def codec(self, name: str) -> Vocabulary:
        return self.vocabulary

    def spec(self) -> Spec:
        return Spec(Tokens(self.length, self.vocabulary.size, self.vocabulary.unit, Framing.STREAM))

    def begin(self, key: Any, moving: Any) -> None:
        """The source's state before the first batch, which can be had without the text."""

    def source(self) -> HostStream:
        return stream_source(HostStream, self.encoded("train"), self.batch_size, self.spec(), self.train)

    def remarks(self, source: HostStream) -> Iterator[str]:
        """Where the tokens lie."""
        size = source.tokens.nbytes / 1e6
        yield f"{len(source.tokens):,} tokens in {self._token_file('train')}, {size:,.1f} MB, read where they lie"

    def evaluation(self, split: str) -> dict[str, Any]:
        """The split once, as `Text` has it; it must fit the memory."""
        return stream_evaluation(self.encoded(split), self.batch_size, self.spec(), self.vocabulary, self._file(split))

    def _token_file(self, split: str) -> Path:
        vocabulary = json.dumps(self.vocabulary.document(), sort_keys=True)
        return Path(self.cache) / f"{_together([self._digest(split), vocabulary])[:32]}.tokens"

    def encoded(self, split: str) -> np.ndarray:
        """The tokens [N] of a split, memory-mapped; the file is written whole where it is not there yet."""
        path = self._token_file(split)
        if not path.exists():
            self._encode(split, path)
        return np.memmap(path, token_type(self.vocabulary), "r")

    def _encode(self, split: str, path: Path) -> None:
        part = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(".part", path.stem, path.parent)  # others may write the same tokens
            part = Path(name)
            with open(descriptor, "wb") as file:
                for piece in read_pieces(self._file(split), ends_in_a_break=isinstance(self.tokens, Words)):
                    file.write(encoded(self.vocabulary, piece).tobytes())
            if not part.stat().st_size:
                raise UserError(f"data.{split}: {self._file(split)} is empty; name a file with text in it")
            part.chmod(0o644)
            os.replace(part, path)
        except OSError as error:
            raise UserError(f"data.cache={self.cache} cannot be written ({error.strerror}); name another") from None
        finally:
            if part is not None:
                part.unlink(missing_ok=True)


def _together(parts: Any) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def read_pieces(path: str, ends_in_a_break: bool = False) -> Iterator[str]:
    """A file's text in pieces of about a million characters, cut where any tokens may be; line breaks are `\\n`.

    With `ends_in_a_break` its last line ends as all the others do. UserError where it is no UTF-8.
    """
    left, sought = "", _READ  # where the next cut has been looked for already
    for text in _decoded(path):
        left += text
        while (end := behind_a_word(left, sought)) < len(left):
            yield left[:end]
            left, sought = left[end:], _READ
        sought = max(_READ, len(left) - 1)
    if ends_in_a_break and not left.endswith("\n"):
        left += "\n"
    if left:
        yield left


def _decoded(path: str) -> Iterator[str]:
    """A file's text as it comes, without a byte order mark."""
    decoder, held, place = codecs.getincrementaldecoder("utf-8")(), "", 0
    for raw in _raw(path):
        try:
            text = held + decoder.decode(raw)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: a byte behind the first {place:,} is no UTF-8 ({error.reason}); mend it, or save it as UTF-8"
            ) from None
        place += len(raw)
        held = "\r" if text.endswith("\r") else ""  # what follows it may be the rest of a line break
        yield with_plain_breaks(text.removesuffix("\r"))
    if held:
        yield "\n"
    if decoder.getstate()[0]:
        raise UserError(f"{path} ends in the middle of a character; mend it")


def _raw(path: str) -> Iterator[bytes]:
    """A file's bytes as they come, unzipped."""
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            first = file.read(_LONGEST_MARK)
            if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
                raise UserError(f"{path} is in UTF-16 or UTF-32; save it as UTF-8")
            yield in_utf8(first, path)
            while raw := file.read(_READ):
                yield in_utf8(raw, path) if b"\0" in raw else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); mend it, or name another file") from None
