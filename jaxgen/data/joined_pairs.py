"""More pairs to train on: two of a corpus, one after the other, as one."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Sequence

import numpy as np

from jaxgen.data.emoji_names import Line


def joined(lines: Sequence[Line]) -> Iterator[Line]:
    """Pairs of two of `lines` each, drawn without end and always the same; a space stands between the two.

    So each pair is met in more contexts, places and lengths (arXiv 2104.08478; what of it helps, arXiv 2105.01691).
    """
    draw = np.random.default_rng(0)
    while True:
        (place, given, made), (_, given_next, made_next) = (lines[n] for n in draw.integers(len(lines), size=2))
        yield f"{place} and another", f"{given} {given_next}", f"{made} {made_next}"
