"""Retrieval: how often a picture's own text is the nearest of a hundred, in a contrastive net."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import numpy as np

from jaxgen.metrics.picture_text import ContrastiveNet
from jaxgen.metrics.unmeasured import Figures, none_of

CANDIDATES = 100
_SEED = 0


def retrieval(
    pictures: Sequence[np.ndarray], real: np.ndarray, texts: Sequence[str], net: ContrastiveNet
) -> Figures:
    """Fractions of pictures whose own text is among the 1 and the 5 nearest of 100; of the real pictures beside.

    `pictures` are draws [N, H, W, 3] for the `texts` [N], `real` [N, H, W, 3] the pictures that these belong to. The
    other 99 of a picture are drawn from the texts that differ from its own, the same for every draw. Unmeasured where
    there are fewer.
    """
    names = [f"{who}retrieval_top_{most}[{net.name}]" for who in ("", "real_") for most in (1, 5)]
    others = rivals(texts)
    if others is None:
        return none_of(names, f"fewer than {CANDIDATES} texts differ from each other")
    vectors = net.texts(texts)
    drawn = [ranks(net.pictures(one), vectors, others) for one in pictures]
    sets = np.concatenate(drawn), ranks(net.pictures(real), vectors, others)
    return dict(zip(names, (float(np.mean(rank < most)) for rank in sets for most in (1, 5)), strict=True))


def rivals(texts: Sequence[str]) -> np.ndarray | None:
    """[N, 99] places of other texts for each, no two alike; None where too few differ."""
    firsts = list({text: place for place, text in reversed(list(enumerate(texts)))}.values())
    if len(firsts) < CANDIDATES:
        return None
    generator, own = np.random.default_rng(_SEED), [texts[place] for place in firsts]
    rows = []
    for text in texts:
        chosen = generator.choice(len(firsts), CANDIDATES, replace=False)
        rows.append([firsts[place] for place in chosen if own[place] != text][: CANDIDATES - 1])
    return np.asarray(rows)


def ranks(pictures: np.ndarray, texts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[N] how many of the `others` [N, 99] of a picture are at least as near to it as its own text."""
    scores = pictures @ texts.T  # [N, N]
    rows = np.arange(len(pictures))
    return np.sum(scores[rows[:, None], others] >= scores[rows, rows][:, None], axis=1)
