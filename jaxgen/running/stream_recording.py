"""A recording told in tokens while it is read."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from jaxgen.core.task import StreamsRecordings
from jaxgen.errors import UserError
from jaxgen.types import Variables


class Recogniser:
    """The tokens of recordings as they come: those of the likeliest path, as of the whole recording at width 1."""

    def __init__(self, task: StreamsRecordings, variables: Variables):
        """UserError for a network that must have heard all of a recording."""
        window = task.window
        if window is None:
            raise UserError(
                "--stream: this run's network needs the whole recording; train one with network.bidirectional=false "
                "(RNN), or with network.chunk and look_back (Transformer)"
            )
        self._task, self._variables, self.window = task, variables, window
        self._advance = jax.jit(task.advance)
        self.heard = self.spent = 0.0  # seconds of the recording so far, and of work on it
        empty = self._window(np.zeros(0, np.float32), 0, 0)
        jax.block_until_ready(self._advance(variables, *empty, task.begin(1)))  # compiled before the first sample

    def __call__(self, pieces: Iterable[np.ndarray]) -> Iterator[list[int]]:
        """The tokens [n] that each window adds; `pieces` hold samples [m] in [-1, 1], of any sizes."""
        self.heard = self.spent = 0.0
        before, carry = self._task.blank, self._task.begin(1)
        for wave, frames in self._windows(pieces):
            began = time.perf_counter()
            log_probs, own, carry = self._advance(self._variables, wave, frames, carry)
            path = np.asarray(log_probs.argmax(axis=-1))[0][np.asarray(own)[0]]
            told = []
            for token in path.tolist():
                if token not in (before, self._task.blank):
                    told.append(token)
                before = token
            self.spent += time.perf_counter() - began
            yield told

    def _windows(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each window [1, samples], and which of its frames are whole [1, n]: a place before it, then its own."""
        window = self.window
        held, first = np.zeros(window.frames * window.hop, np.float32), -window.frames  # none is there before the first
        for piece in pieces:
            held, self.heard = np.concatenate([held, piece]), self.heard + len(piece) / window.rate
            while len(held) >= window.samples:
                yield self._window(held[: window.samples], first, None)
                held, first = held[window.step :], first + window.places * window.frames
        # the last window is one that is not full; one with no frame of its own beside those before it tells nothing
        count = max(0, (len(held) - window.frame) // window.hop + 1)
        if count > window.frames:
            yield self._window(held, first, count)

    def _window(self, held: np.ndarray, first: int, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        """A window that begins at frame `first`, of which `count` frames are whole (None: all)."""
        number = np.arange((self.window.places + 1) * self.window.frames)
        whole = (first + number >= 0) & (number < (len(number) if count is None else count))
        return np.pad(held, (0, self.window.samples - len(held)))[None], whole[None]
