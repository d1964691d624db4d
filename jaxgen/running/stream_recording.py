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
        if task.window is None:
            raise UserError(
                "--stream: this run's network needs the whole recording; train one with network.bidirectional=false "
                "(RNN), or with network.chunk and look_back (Transformer)"
            )
        self._task, self._variables = task, variables
        self._places, self._samples, self._frames = task.window
        log_mel = task.network.stem.log_mel
        self._step, self._width, self.rate = log_mel.step, log_mel.samples, log_mel.rate
        self._advance = jax.jit(task.advance)
        self.heard = self.spent = 0.0  # seconds of the recording so far, and of work on it
        self.piece = self._places * self._frames * self._step  # samples from one window to the next
        empty = np.zeros((1, self._samples), np.float32), np.zeros((1, (self._places + 1) * self._frames), bool)
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
        begun = self._frames * self._step  # samples before the first one: none are there yet
        held, first = np.zeros(begun, np.float32), -self._frames
        for piece in pieces:
            held, self.heard = np.concatenate([held, piece]), self.heard + len(piece) / self.rate
            while len(held) >= self._samples:
                yield self._window(held, first, None)
                held, first = held[self.piece :], first + self._places * self._frames
        # the last window is one that is not full; one with no frame of its own beside those before it tells nothing
        count = max(0, (len(held) - self._width) // self._step + 1)
        if count > self._frames:
            yield self._window(held, first, count)

    def _window(self, held: np.ndarray, first: int, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        wave = np.zeros(self._samples, np.float32)
        wave[: min(len(held), self._samples)] = held[: self._samples]
        number = np.arange((self._places + 1) * self._frames)
        whole = (first + number >= 0) & (number < (len(number) if count is None else count))
        return wave[None], whole[None]
