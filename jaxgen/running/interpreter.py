"""Tokens made while what they are made of is read: the states of encoder and decoder go from step to step."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import numpy as np

from jaxgen.core.task import TranslatesWhileReading
from jaxgen.types import Batch, Variables


class Interpreter:
    """What a task makes of one sentence or recording after another, each begun anew."""

    def __init__(self, task: TranslatesWhileReading, variables: Variables):
        self._task, self._variables = task, variables
        self._read, self._whole, self._following = jax.jit(task.read), jax.jit(task.whole), jax.jit(task.following)

    def begin(self) -> None:
        """Nothing is read, and nothing made."""
        self._reading: Any = self._task.begin(1) if self._task.reads else None
        self._places = self._count = 0
        self._token, self._carry, self._done = np.full(1, self._task.start, np.int32), None, False

    def read(self, values: np.ndarray, own: np.ndarray) -> None:
        """A window; the last one alone may have places that are not its own."""
        self._reading = self._read(self._variables, values, own, self._reading)
        self._places += self._task.reads or 0

    def read_whole(self, request: Batch) -> None:
        """All that is given, of a network that needs it at once."""
        self._reading = self._whole(self._variables, request)

    def made(self, ended: bool) -> list[int]:
        """The further tokens [n] that what was read allows; `ended`: nothing more is to come."""
        told: list[int] = []
        while not self._done and (ended or self._allowed()):
            if self._carry is None:
                self._carry = self._task.first(self._reading)
            how = self._reading, self._token, np.int32(self._count), self._carry
            self._token, self._carry = self._following(self._variables, *how)
            token = int(self._token[0])
            self._count, self._done = self._count + 1, token == self._task.end
            told += [] if self._done else [token]
        return told

    def _allowed(self) -> bool:
        wanted = self._task.wanted(self._count)
        return wanted is not None and wanted <= self._places
