"""How near sentences come to reference ones: BLEU and chrF by the sacrebleu library, and a baseline to stand beside."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import numpy as np

_MOST_COMPARED = 3_000_000  # pairs of sentences whose distances the baseline takes


def translation_measures(made: Sequence[str], references: Sequence[str]) -> dict[str, float | str]:
    """`bleu` (arXiv 1804.08771) and `chrf` from 0 to 100, `exact_match` from 0 to 1, and sacrebleu's signatures.

    Both sides are plain, detokenised text, one reference for each sentence.
    """
    from sacrebleu.metrics import BLEU, CHRF

    figures: dict[str, float | str] = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        figures[name] = metric.corpus_score(list(made), [list(references)]).score
        figures[f"{name}_signature"] = metric.get_signature().format()
    figures["exact_match"] = float(np.mean([one == other for one, other in zip(made, references, strict=True)]))
    return figures


def sentence_bleu(made: Sequence[str], references: Sequence[str]) -> list[float]:
    """The BLEU of each sentence, from 0 to 100, against its one reference.

    sacrebleu's for single sentences: orders of n-grams that a sentence is too short for are left out, and where none
    match, half a match, a quarter, ... is counted ("exp" smoothing, method 3 of Chen and Cherry, 2014).
    """
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    return [metric.sentence_score(one, [other]).score for one, other in zip(made, references, strict=True)]


def nearest_translations(
    sources: Sequence[str], translations: Sequence[str], given: Sequence[str]
) -> list[str] | None:
    """For each sentence given the translation of the training `sources` nearest to it by edit distance.

    Of equally near ones the first. None where there are too many pairs to compare.
    """
    if len(sources) * len(given) > _MOST_COMPARED:
        return None
    codes = _padded(sources)
    sizes = np.array([len(source) for source in sources])
    return [translations[int(np.argmin(edit_distances(one, codes, sizes)))] for one in given]


def edit_distances(text: str, codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[N] the Levenshtein distances of a text from N others, whose code points are `codes` [N, L] and lengths [N]."""
    count, longest = codes.shape
    codes = np.ascontiguousarray(codes.T)  # [L, N]: each operation runs along the texts
    places = np.arange(longest + 1, dtype=np.int16)[:, None]
    before = np.tile(places, (1, count))  # from no character of the text to the first l of the other
    for place, character in enumerate(text, 1):
        best = np.minimum(before[:-1] + (codes != ord(character)), before[1:] + 1)
        best = np.concatenate([np.full((1, count), place, np.int16), best])
        before = np.minimum.accumulate(best - places) + places  # and what is inserted after the best
    return before[sizes, np.arange(count)]


def _padded(texts: Sequence[str]) -> np.ndarray:
    """[N, L] code points, 0 after a text's end."""
    codes = np.zeros((len(texts), max(map(len, texts), default=0)), np.int32)
    for row, text in enumerate(texts):
        codes[row, : len(text)] = [ord(character) for character in text]
    return codes
