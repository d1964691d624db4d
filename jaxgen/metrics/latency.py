"""How far what is made lags behind what is read."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence


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


def wait_k_read(
    wait_k: int | None, length: float, made: int, stride: float = 1, late: float = 0
) -> list[float]:
    """[made] how much of `length` wait-k has read before each token that it makes; None: all.

    It reads a `stride` more for each token, in the units of `length`, tokens or seconds. What was read counts as such
    `late` after its end.
    """
    if wait_k is None:
        return [float(length)] * made
    return [float(min((wait_k + place) * stride + late, length)) for place in range(made)]
