"""Texts as an experiment names them: a builtin one, files of the user's or a TFDS set, as a stream or as documents."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from jaxgen.data import builtin
from jaxgen.data.bad import BadExamples
from jaxgen.data.copies import copy_with
from jaxgen.data.documents import Examples, Separated, pack
from jaxgen.data.files import read_text
from jaxgen.data.prepared import read_texts, text_builder
from jaxgen.data.residence import Residence
from jaxgen.data.sources import (
    HostExamples,
    HostStream,
    ResidentExamples,
    ResidentStream,
    padded_batches,
    stream_evaluation,
    stream_source,
)
from jaxgen.data.splits import holding_out, in_validation
from jaxgen.data.text_folder import TextFolder
from jaxgen.data.text_pieces import encoded
from jaxgen.data.tokenizers import Characters, Tokenizer, Vocabulary, Words, whole_lines, with_bytes
from jaxgen.errors import UserError
from jaxgen.types import Framing, Key, Spec, Tokens

_BUILTIN = "python-docs"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Text:
    """A text as tokens: the builtin `python-docs`, files of the user's, or a set of texts that TFDS has prepared.

    One file by its path as `name` is cut nine to one, and of a folder's files (`TextFolder`) one in ten is held out;
    several are named by `train`, `validation` and `test`, which for a TFDS set are split expressions
    (`test="validation+test"` makes nanoGPT's tenth of `tiny_shakespeare`) and left out are its own splits, their
    examples joined end to end. A text is read as one stream; with `documents` it falls into ones that know nothing of
    each other, packed into rows of T tokens. A document begins with the token V, "start", and ends with the token V-1,
    "end", so that a sample stops. `skip_bad` lines that are no UTF-8 may be left out.
    """

    name: str = _BUILTIN
    batch_size: int = 32
    length: int = 128  # tokens a row and batch, T
    tokens: Tokenizer = Characters()
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default
    documents: Separated | Examples | None = None
    residence: Residence = Residence.AUTO  # a stream is on the device unless HOST is said
    skip_bad: int = 0
    places: ClassVar[tuple[str, ...]] = ("name", *SPLITS, "data_dir")  # where the text lies
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far
    holds_out: bool = field(init=False, repr=False, default=False)  # whether a tenth of `train` is set aside
    kept: Vocabulary | None = field(init=False, repr=False, compare=False, default=None)  # a vocabulary that is given

    def __post_init__(self):
        if self.batch_size < 1 or self.length < 1:
            raise UserError(f"batch_size is {self.batch_size} and length {self.length}; give at least 1 of each")
        if self._named and None in (self.train, self.test) and not self._prepared:
            raise UserError("files are named by data.train and data.test, both (data.validation may be left out)")
        if self.residence is Residence.DISK:
            raise UserError(
                "data.residence=DISK is for pictures; a text that is larger than memory is data=LongText(...)"
            )
        if self._named and os.path.exists(self.name):
            raise UserError(f"data.name={self.name} is cut nine to one; leave data.train and data.test out, or it")
        object.__setattr__(self, "bad", BadExamples(self.skip_bad))

    @property
    def _named(self) -> dict[str, str]:
        """The splits that the user names, and how."""
        named = {split: getattr(self, split) for split in SPLITS}
        return {split: word for split, word in named.items() if word is not None}

    @property
    def _prepared(self) -> bool:
        """Whether `name` can only be a TFDS set's."""
        return self.name != _BUILTIN and not os.path.exists(self.name)

    @property
    def _title(self) -> str:
        """What the text is called in a sentence."""
        return self.name if self._prepared or self.train is None else self.train

    @functools.cached_property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The documents of each split; of a stream all is one."""
        texts = self._read_texts()
        return texts if "validation" in texts or not self.holds_out else texts | self._held_out(texts["train"])

    def with_validation(self) -> "Text":
        """These data with a "validation" split: their own, or a tenth of the training text.

        Of documents it is chosen by a hash; of a stream it is the last tenth.
        """
        return holding_out(self, "texts", "vocabulary")

    def _held_out(self, train: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        if self.documents is not None:
            aside = [in_validation(document) for document in train]
            return {
                split: tuple(one for one, is_aside in zip(train, aside, strict=True) if is_aside == (split != "train"))
                for split in ("train", "validation")
            }
        end = self._break(train[0])
        return {"train": (train[0][:end],), "validation": (train[0][end:],)}

    def _break(self, text: str) -> int:
        """Where the last tenth of a text begins; no word is divided."""
        end = len(text) * 9 // 10
        if isinstance(self.tokens, Words):
            return text.rfind("\n", 0, end) + 1 or text.rfind(" ", 0, end) + 1 or end
        return end

    def _read_texts(self) -> dict[str, tuple[str, ...]]:
        if self._prepared:
            return self._prepared_texts()
        if self._named:
            return {split: self._parts(self._files_texts(path, f"data.{split}")) for split, path in self._named.items()}
        if self.folder is not None and len(self.folder.every) > 1:
            return {split: self._parts(self._each(self.folder.files(split))) for split in self.folder.splits}
        if self.name == _BUILTIN:
            text = "".join(builtin.python_docs().values())
        else:
            (text,) = self._files_texts(self.name, "data.name")
        if self.documents is not None:
            parts = self._parts([text])
            return {"train": parts[: len(parts) * 9 // 10], "test": parts[len(parts) * 9 // 10 :]}
        end = self._break(text)
        return {"train": (text[:end],), "test": (text[end:],)}

    @functools.cached_property
    def folder(self) -> TextFolder | None:
        """What `name` is, where it is a folder."""
        return TextFolder.of(Path(self.name)) if os.path.isdir(self.name) else None

    def _files_texts(self, path: str, field: str) -> list[str]:
        """The text of a file, or of each file in a folder."""
        if os.path.isdir(path):
            return self._each(TextFolder.of(Path(path)).every)
        if isinstance(self.documents, Examples):
            raise UserError(
                "data.documents=Examples is for TFDS sets and folders; the documents of one file are Separated"
            )
        return [read_text(path, field, self.bad)]

    def _each(self, files: list[str]) -> list[str]:
        texts = [read_text(file, "data.name", self.bad, one_of_several=True) for file in files]
        return [text for text in texts if text.strip()]

    def _parts(self, texts: list[str]) -> tuple[str, ...]:
        """The documents of texts that are files or examples each; of a stream all in one."""
        match self.documents:
            case None:
                return ("\n\n".join(text.strip("\n") for text in texts) if len(texts) > 1 else "".join(texts),)
            case Examples():
                return tuple(texts)
        return tuple(part for text in texts for part in self.documents.cut(text))

    def _prepared_texts(self) -> dict[str, tuple[str, ...]]:
        builder = text_builder(self.name, self.data_dir, [_BUILTIN])
        splits = {split: split for split in SPLITS if split in builder.info.splits} | self._named
        texts = {split: read_texts(builder, expression, self.bad) for split, expression in splits.items()}
        if isinstance(self.documents, Examples):
            return {split: tuple(examples) for split, examples in texts.items()}
        return {split: self._parts(["".join(examples)]) for split, examples in texts.items()}

    def of(self, split: str) -> tuple[str, ...]:
        """The documents of a split; UserError when these data have no such split, or nothing is in it."""
        if split not in self.texts:
            known = ", ".join(self.texts)
            mend = f"name it by data.{split}" if split in SPLITS else "name one of them"
            raise UserError(f"{self._title} has no {split} split, only {known}; {mend}")
        if not any(self.texts[split]):
            raise UserError(f"the {split} split of {self._title} is empty; name another text")
        return self.texts[split]

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Fitted to the training text; `with_vocabulary` puts a kept one in its place."""
        return self.tokens.fit(*self._fitted_to()) if self.kept is None else self.kept

    def _fitted_to(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        others = [text for split in self.texts if split != "train" for text in self.texts[split]]
        return self.of("train"), tuple(others) if isinstance(self.tokens, Characters) else ()

    def text_digest(self) -> str:
        """SHA-256 of what the vocabulary is fitted to."""
        digest = hashlib.sha256()
        for text in (text for texts in self._fitted_to() for text in texts):
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    def content(self) -> str:
        """SHA-256 of the documents of all splits."""
        digest = hashlib.sha256()
        for split in sorted(self.texts):
            for text in (split, *self.texts[split]):
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    def vocabulary_document(self) -> dict[str, Any]:
        return self.vocabulary.document()

    def with_vocabulary(self, document: dict[str, Any]) -> "Text":
        """These data with the vocabulary that `vocabulary.document()` wrote, whatever the text has become."""
        return copy_with(self, "vocabulary", kept=self.tokens.read(document))

    def codec(self, name: str) -> Vocabulary:
        return self.vocabulary

    def spec(self) -> Spec:
        size, unit = self.vocabulary.size, self.vocabulary.unit
        if self.documents is None:
            return Spec(Tokens(self.length, size, unit, Framing.STREAM))
        return Spec(Tokens(self.length, size + 1, unit, Framing.PACKED))

    def begin(self, key: Key, moving: Any) -> Key | None:
        """The source's state before the first batch, which can be had without the text."""
        return None if self.documents is None else key

    def understood(self) -> Iterator[str]:
        """Which files of a folder are in which split, and what is left out."""
        if self.folder is not None:
            yield from self.folder.told()

    def remarks(self, source: Any) -> Iterator[str]:
        """What the user should know of what `source` has read."""
        if self.bad.count:
            yield self.bad.told()
        if self.documents is not None:
            segment = source.arrays["made"]["segment"]
            yield (
                f"{len(self.of('train')):,} documents in {len(segment):,} rows of {self.length} + 1 tokens, which they "
                f"fill to {(segment > 0).mean():.1%}"
            )

    def source(self) -> ResidentStream | HostStream | ResidentExamples | HostExamples:
        if self.documents is not None:
            rows = self.packed("train")
            residence = self.residence.settled(sum(array.nbytes for array in jax.tree.leaves(rows)))
            kind = ResidentExamples if residence is Residence.DEVICE else HostExamples
            return kind(rows, self.spec(), self.batch_size)
        kind = HostStream if self.residence is Residence.HOST else ResidentStream
        return stream_source(kind, self._encoded("train")[0], self.batch_size, self.spec(), self._title)

    def evaluation(self, split: str) -> dict[str, Any]:
        """The split once: packed, or as a stream [n, B, T+1] of as many rows as leave about a hundredth unread."""
        if self.documents is not None:
            return with_bytes(padded_batches(self.packed(split), self.batch_size), self.vocabulary)
        how = self.batch_size, self.spec(), self.vocabulary, f"the {split} split of {self._title}"
        return stream_evaluation(self._encoded(split)[0], *how)

    def packed(self, split: str) -> dict[str, Any]:
        """The split's documents as rows of tokens [N, T+1], with `segment` and `mask`."""
        end = self.vocabulary.size
        framed = [np.concatenate([[end + 1], tokens, [end]], dtype=np.int32) for tokens in self._encoded(split)]
        return pack(framed, self.length)

    def _encoded(self, split: str) -> list[np.ndarray]:
        return [encoded(self.vocabulary, whole_lines(text, self.tokens)) for text in self.of(split)]
