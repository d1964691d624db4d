"""The ratio of two sides' times, and how sure it is: a bootstrap of the medians of their blocks."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import numpy as np

_DRAWS = 4000


def change(before: Sequence[float], after: Sequence[float], sure: float = 0.95) -> tuple[float, float, float]:
    """The ratio of the medians of blocks' times, after over before, and where so many bootstrap samples of it lie."""
    draw = np.random.default_rng(0)
    sides = [np.asarray(side, float) for side in (after, before)]
    drawn = [np.median(draw.choice(side, (_DRAWS, len(side))), axis=1) for side in sides]
    low, high = np.quantile(drawn[0] / drawn[1], [(1 - sure) / 2, (1 + sure) / 2])
    return float(np.median(sides[0]) / np.median(sides[1])), float(low), float(high)
