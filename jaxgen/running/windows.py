"""A recording cut into the windows that a network reads one after another."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Iterator

import numpy as np

from jaxgen.core.task import Window


class Windows:
    """The windows of one recording as it comes."""

    def __init__(self, window: Window):
        self._window = window
        self.heard = 0.0  # seconds of the recording so far

    def __call__(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each window [1, samples], and which of its frames are whole [1, n]: a place before it, then its own.

        `pieces` hold samples [m] in [-1, 1], of any sizes.
        """
        window = self._window
        held, first = np.zeros(window.frames * window.hop, np.float32), -window.frames  # none is there before the first
        for piece in pieces:
            held, self.heard = np.concatenate([held, piece]), self.heard + len(piece) / window.rate
            while len(held) >= window.samples:
                yield _cut(window, held[: window.samples], first, None)
                held, first = held[window.step :], first + window.places * window.frames
        # the last window is one that is not full; one with no frame of its own beside those before it tells nothing
        count = max(0, (len(held) - window.frame) // window.hop + 1)
        if count > window.frames:
            yield _cut(window, held, first, count)


def no_window(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """A window that holds nothing, for its shapes."""
    return _cut(window, np.zeros(0, np.float32), 0, 0)


def _cut(window: Window, held: np.ndarray, first: int, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """A window that begins at frame `first`, of which `count` frames are whole (None: all)."""
    number = np.arange((window.places + 1) * window.frames)
    whole = (first + number >= 0) & (number < (len(number) if count is None else count))
    return np.pad(held, (0, window.samples - len(held)))[None], whole[None]
