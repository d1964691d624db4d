"""How far what is made lags behind what is read."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Sequence


def average_lagging(read: Sequence[float], length: float, reference: int) -> float:
    """AL (arXiv 1810.08398, eq. 8): by how much the reading was ahead of an ideal that translates as it reads.

    `read` [T] says how much of the source, in tokens or seconds, had been read when each token was made; `length` is
    all of it, `reference` the tokens of the text that the ideal makes. The tokens after the first that was made with
    all of it read do not count. Waiting for all gives `length`, wait-k with two equal lengths k. 0 without a token.
    """
    if not read or not reference:
        return 0.0
    until = next((place for place, now in enumerate(read, 1) if now >= length), len(read))
    return sum(now - place * length / reference for place, now in enumerate(read[:until])) / until


def read_by(wanted: Callable[[int], float | None], length: float, made: int) -> list[float]:
    """[made] how much of `length` had been read when each token was made, where token t waits for `wanted(t)`.

    None: for all. All in the units of `length`, tokens or seconds.
    """
    waits = map(wanted, range(made))
    return [float(length if wait is None else min(wait, length)) for wait in waits]
