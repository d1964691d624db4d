"""How near captions come to reference ones: CIDEr-D beside BLEU, and a baseline of the nearest picture."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from jaxgen.metrics.translation import Incomparable
from jaxgen.metrics.unmeasured import Figures, none_of

CAPTION_FIGURES = ("cider", "bleu", "exact_match")
_ORDERS = (1, 2, 3, 4)  # n of the n-grams
_SIGMA = 6.0  # words
_SCALE = 10.0
_MOST_COMPARED = 2_000_000_000  # numbers of pictures whose squares the baseline takes
_AT_ONCE = 64  # held-out pictures
_PART = 1 << 26  # numbers of training pictures that are held as float32

Vectors = dict[int, dict[tuple[str, ...], float]]  # by n


def caption_measures(made: Sequence[str], references: Sequence[str]) -> Figures:
    """`cider` (CIDEr-D), `bleu` up to 4-grams (arXiv 1804.08771) from 0 to 100, `exact_match` from 0 to 1.

    One reference for each caption. CIDEr counts in how many references of these a word occurs: figures of other splits,
    or of fewer examples, are not comparable. Unmeasured without any.
    """
    if not references:
        return none_of(CAPTION_FIGURES, "there is no held-out caption")
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    return {
        "cider": float(np.mean(cider(made, [[one] for one in references]))),
        "bleu": metric.corpus_score(list(made), [list(references)]).score,
        "bleu_signature": metric.get_signature().format(),
        "exact_match": float(np.mean([one == other for one, other in zip(made, references, strict=True)])),
    }


def cider(made: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The CIDEr-D of each caption against its own references, which are the documents too (see `Scorer`)."""
    scorer = Scorer(references)
    return [scorer.score(text, several) for text, several in zip(made, references, strict=True)]


class Scorer:
    """CIDEr-D, from 0 to 10 (section 6 of arXiv 1411.5726), in which `documents` say how rare words are.

    The cosines of TF-IDF vectors of n-grams, those of the caption clipped to the reference's, under a Gaussian penalty
    of the difference in length, averaged over n from 1 to 4 and over the references. Words are what stands between
    white space, as it is written. A document is the references of one caption; of one document alone all scores are 0.
    As in the authors' own program a length is a number of bigrams.
    """

    def __init__(self, documents: Sequence[Sequence[str]]):
        self._found_in: Counter = Counter()
        for several in documents:
            self._found_in.update(set().union(*(_counts(text) for text in several)))
        self._every = math.log(len(documents)) if documents else 0.0

    def score(self, made: str, references: Sequence[str]) -> float:
        """Of a caption against its references."""
        one = self._vectors(made)
        return float(np.mean([_similarity(one, self._vectors(other)) for other in references]))

    def _vectors(self, text: str) -> tuple[Vectors, int]:
        parts: Vectors = {n: {} for n in _ORDERS}
        for gram, count in (counts := _counts(text)).items():
            parts[len(gram)][gram] = count * (self._every - math.log(max(1, self._found_in[gram])))  # eq. 1
        return parts, sum(count for gram, count in counts.items() if len(gram) == 2)


def _similarity(made: tuple[Vectors, int], reference: tuple[Vectors, int]) -> float:
    """The mean over n of eq. 5."""
    penalty = math.exp(-((made[1] - reference[1]) ** 2) / (2 * _SIGMA**2))
    return _SCALE * penalty * sum(_clipped_cosine(made[0][n], reference[0][n]) for n in _ORDERS) / len(_ORDERS)


def _clipped_cosine(made: dict, reference: dict) -> float:
    norms = math.prod(math.sqrt(sum(value**2 for value in one.values())) for one in (made, reference))
    dot = sum(min(value, reference[gram]) * reference[gram] for gram, value in made.items() if gram in reference)
    return dot / norms if norms else 0.0


def _counts(text: str) -> Counter:
    """How often each n-gram occurs, n from 1 to 4."""
    words = text.split()
    return Counter(tuple(words[at : at + n]) for n in _ORDERS for at in range(len(words) - n + 1))


def nearest_captions(pictures: np.ndarray, captions: Sequence[str], given: np.ndarray) -> list[str]:
    """For each picture given [M, ...] the caption of the training picture [N, ...] nearest to it in its pixels.

    Of equally near ones the first. Incomparable without a training picture, and where there are too many.
    """
    if not len(pictures):
        raise Incomparable("there is no training picture")
    if pictures.size + given.size > _MOST_COMPARED:
        raise Incomparable(f"{len(pictures):,} training and {len(given):,} held-out pictures are too many to compare")
    least, nearest = np.full(len(given), np.inf, np.float32), np.zeros(len(given), np.int64)
    size = max(1, _PART // pictures[0].size)
    for start in range(0, len(pictures), size):
        train = np.asarray(pictures[start : start + size], np.float32).reshape(-1, pictures[0].size)
        squares = np.einsum("nd,nd->n", train, train)
        for first in range(0, len(given), _AT_ONCE):
            rows = slice(first, first + _AT_ONCE)
            some = np.asarray(given[rows], np.float32).reshape(-1, train.shape[1])
            distances = squares - 2 * some @ train.T
            places = distances.argmin(axis=1)
            here = distances[np.arange(len(some)), places]
            nearer = here < least[rows]  # of equally near ones the first
            nearest[rows] = np.where(nearer, start + places, nearest[rows])
            least[rows] = np.where(nearer, here, least[rows])
    return [captions[place] for place in nearest]
