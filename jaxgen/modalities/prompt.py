"""Prompts: sentences that pictures are made for, in the words that the model was trained with."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from jaxgen.data.tokenizers import END, UNKNOWN, WordList
from jaxgen.errors import UserError, similar
from jaxgen.modalities.tokens import SourcePresents
from jaxgen.reporting.terminal import say

_TOLD = 3  # unknown words that a sentence names


@dataclass(frozen=True)
class PromptPresents(SourcePresents):
    """Sentences whose unknown words are told and left out: no picture has trained what stands for them."""

    def _sentence(self, place: str, line: str) -> np.ndarray:
        vocabulary = self.meaning.codec
        return super()._sentence(place, _known(vocabulary, place, line) if isinstance(vocabulary, WordList) else line)


def _known(vocabulary: WordList, place: str, line: str) -> str:
    """The line's words as the vocabulary spells them. UserError where it knows none."""
    known, unknown = spelled(vocabulary.words, line)
    several = len(unknown) > 1
    told = " and ".join(f"{word!r}{similar(word, vocabulary.words)}" for word in unknown[:_TOLD])
    told += f" and {len(unknown) - _TOLD:,} more" if len(unknown) > _TOLD else ""
    if unknown and not known:
        raise UserError(f"{place} has no word that the model was trained with: {told}; give others")
    if unknown:
        say(f"{place} has {'words' if several else 'a word'} that the model was not trained with, left out: {told}")
    return " ".join(known)


def spelled(words: Iterable[str], text: str) -> tuple[list[str], list[str]]:
    """The words of a text as `words` spell them, the first of those alike, and the words that are not among them.

    Words are alike that differ in capitals, in the kind of an apostrophe, or in punctuation at their ends.
    """
    own = [word for word in words if word not in (UNKNOWN, END)]
    exact, alike = set(own), {_plain(word): word for word in reversed(own)}
    found = [(word, word if word in exact else alike.get(_plain(word))) for word in text.split()]
    return [one for _, one in found if one is not None], [word for word, one in found if one is None and _plain(word)]


def _plain(word: str) -> str:
    return word.casefold().replace("’", "'").strip(".,:;!?()[]{}\"'«»“”„")
