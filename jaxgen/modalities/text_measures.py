"""By what texts are measured that are made for something: translations, captions and what was recognised differ."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxgen.metrics.captioning import CAPTION_FIGURES, caption_measures, nearest_captions
from jaxgen.metrics.recognition import RECOGNITION_FIGURES, recognition_measures
from jaxgen.metrics.translation import TRANSLATION_FIGURES, nearest_translations, translation_measures
from jaxgen.metrics.unmeasured import Figures
from jaxgen.types import Batch, Image, Modality, Wave

Given = Sequence[tuple[str, Modality]]
Both = tuple[Sequence[str] | None, Sequence[str] | None]  # what is told of the given of training and held-out examples


class TextMeasures(NamedTuple):
    """The figures of texts against references, and a baseline: a training text, chosen by what was given for it."""

    names: tuple[str, ...]
    figures: Callable[[Sequence[str], Sequence[str]], Figures]
    baseline: str = ""
    nearest: Callable[[Batch, Sequence[str], Batch, Both], list[str]] | None = None  # a text for each held-out example


def text_measures(given: Given) -> TextMeasures:
    """BLEU, chrF and exact matches of translations, CIDEr in chrF's place of captions; error rates too of speech."""
    match list(given):
        case [(name, Image())]:
            return TextMeasures(CAPTION_FIGURES, caption_measures, "nearest training picture", _by_picture(name))
        case [(_, Wave())]:
            return TextMeasures(RECOGNITION_FIGURES + TRANSLATION_FIGURES, _of_speech)
    return TextMeasures(TRANSLATION_FIGURES, translation_measures, "nearest training sentence", _by_sentence)


def _of_speech(made: Sequence[str], references: Sequence[str]) -> Figures:
    """All of both: the words of another language than was spoken are no errors, and BLEU then tells more."""
    return recognition_measures(made, references) | translation_measures(made, references)


def _by_sentence(train: Batch, texts: Sequence[str], real: Batch, told: Both) -> list[str]:
    return nearest_translations(told[0], texts, told[1])


def _by_picture(name: str) -> Callable[[Batch, Sequence[str], Batch, Both], list[str]]:
    def nearest(train: Batch, texts: Sequence[str], real: Batch, told: Both) -> list[str]:
        return nearest_captions(train["given"][name]["value"], texts, real["given"][name]["value"])

    return nearest
