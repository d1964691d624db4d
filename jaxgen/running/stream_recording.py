"""A recording told in tokens while it is read: recognised by CTC, or translated by wait-k."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

import jax
import numpy as np

from jaxgen.core.task import StreamsRecordings, TranslatesWhileReading, Window
from jaxgen.errors import UserError
from jaxgen.running.interpreter import Interpreter
from jaxgen.running.windows import Windows, no_window
from jaxgen.types import Variables

_WHOLE = (
    "--stream: this run's network needs the whole recording; train one with network.bidirectional=false (RNN), or with "
    "network.chunk%s (Transformer)"
)


class Listener(Protocol):
    """What tells recordings, one after another."""

    window: Window
    heard: float  # seconds of the recording so far
    spent: float  # seconds of work on it

    def __call__(self, pieces: Iterable[np.ndarray]) -> Iterator[list[int]]:
        """The tokens [n] that each window adds; `pieces` hold samples [m] in [-1, 1], of any sizes."""


class Recogniser:
    """The tokens of the likeliest path, as of the whole recording at width 1."""

    def __init__(self, task: StreamsRecordings, variables: Variables):
        """UserError for a network that must have heard all of a recording."""
        if task.window is None:
            raise UserError(_WHOLE % " and look_back")
        self._task, self._variables, self.window = task, variables, task.window
        self._advance = jax.jit(task.advance)
        self.heard = self.spent = 0.0
        empty = no_window(self.window)
        jax.block_until_ready(self._advance(variables, *empty, task.begin(1)))  # compiled before the first sample

    def __call__(self, pieces: Iterable[np.ndarray]) -> Iterator[list[int]]:
        self.heard = self.spent = 0.0
        before, carry, windows = self._task.blank, self._task.begin(1), Windows(self.window)
        for wave, frames in windows(pieces):
            began = time.perf_counter()
            log_probs, own, carry = self._advance(self._variables, wave, frames, carry)
            path = np.asarray(log_probs.argmax(axis=-1))[0][np.asarray(own)[0]]
            told = []
            for token in path.tolist():
                if token not in (before, self._task.blank):
                    told.append(token)
                before = token
            self.spent, self.heard = self.spent + time.perf_counter() - began, windows.heard
            yield told
        self.heard = windows.heard


class SpeechTranslator:
    """The tokens that wait-k makes of recordings, as of the whole recording at width 1."""

    def __init__(self, task: TranslatesWhileReading, variables: Variables):
        """UserError for a network that must have heard all of a recording."""
        if task.window is None:
            raise UserError(_WHOLE % "")
        self.window, self._interpreter = task.window, Interpreter(task, variables)
        self._longest = task.room
        self.heard = self.spent = 0.0
        self._interpreter.begin()
        self._interpreter.read(*no_window(self.window))  # compiled before the first sample
        self._interpreter.made(ended=True)

    def __call__(self, pieces: Iterable[np.ndarray]) -> Iterator[list[int]]:
        self.heard = self.spent = 0.0
        windows, places = Windows(self.window), 0
        self._interpreter.begin()
        for wave, frames in windows(pieces):
            places += -(-int(frames[0, self.window.frames :].sum()) // self.window.frames)
            if places > self._longest:
                most = self._longest * self.window.step / self.window.places / self.window.rate
                raise UserError(f"a recording goes on after {most:.1f} s, which is all the model hears; cut it")
            began = time.perf_counter()
            self._interpreter.read(wave, frames)
            told = self._interpreter.made(ended=False)
            self.spent, self.heard = self.spent + time.perf_counter() - began, windows.heard
            yield told
        began = time.perf_counter()
        told = self._interpreter.made(ended=True)
        self.spent, self.heard = self.spent + time.perf_counter() - began, windows.heard
        yield told
