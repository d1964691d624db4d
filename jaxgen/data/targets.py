"""Texts that are made: as rows of tokens from "start" to "end", and a vocabulary that is fitted to them."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from jaxgen.data.copies import copy_with
from jaxgen.data.tokenizers import Tokenizer, Vocabulary


def target_arrays(encoded: Sequence[np.ndarray], length: int, end: int) -> dict[str, np.ndarray]:
    """`value` [n, T+1], from the token `end` + 1 ("start") on and filled up with `end`, and `mask` [n, T].

    `encoded` are tokens [t], t below `length` T; the mask counts them and their end.
    """
    value = np.full((len(encoded), length + 1), end, np.int32)
    value[:, 0] = end + 1
    for row, tokens in enumerate(encoded):
        value[row, 1 : len(tokens) + 1] = tokens
    sizes = np.asarray([len(tokens) for tokens in encoded], np.int64)
    return {"value": value, "mask": np.arange(length) <= sizes[:, None]}


class FittedToTexts:
    """Data with one vocabulary, which is fitted to the texts that are made (core.data.HasVocabulary)."""

    tokens: Tokenizer
    kept: Vocabulary | None  # a vocabulary that is given

    def _fitted_to(self) -> tuple[list[str], list[str]]:
        """The texts of the training split, and those of others whose characters must be known."""
        raise NotImplementedError

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Fitted to the training texts; `with_vocabulary` puts a kept one in its place."""
        return self.tokens.fit(*self._fitted_to()) if self.kept is None else self.kept

    def text_digest(self) -> str:
        """SHA-256 of what the vocabulary is fitted to."""
        return hashlib.sha256("\n".join(itertools.chain(*self._fitted_to())).encode()).hexdigest()

    def vocabulary_document(self) -> dict[str, Any]:
        return self.vocabulary.document()

    def with_vocabulary(self, document: dict[str, Any]) -> Self:
        """These data with the vocabulary that `vocabulary_document` told, whatever the texts have become."""
        return copy_with(self, "vocabulary", "longest", kept=self.tokens.read(document))

    def codec(self, name: str) -> Vocabulary:
        return self.vocabulary
