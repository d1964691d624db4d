"""The checkpoints of a run of several processes: one of them touches the disk."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from jaxgen.core.state import TrainState
from jaxgen.training.checkpoint import Best, Checkpoints, Record
from jaxgen.training.processes import gathered, leads, told, told_tree


class SharedCheckpoints:
    """The checkpoints of a run of several processes: process 0 alone touches the folder, the others are told.

    So no other process needs the folder's disk; each holds the whole state on its host for as long as a save takes.
    """

    def __init__(self, folder: Path, keep: int, best: Best | None = None):
        self._own = Checkpoints(folder, keep, best) if leads() else None

    def steps(self) -> list[int]:
        return self._own.steps() if self._own else []

    def save(self, step: int, state: TrainState, record: Record) -> None:
        whole = gathered(state)
        if self._own:
            self._own.save(step, whole, record)

    def restore(self, like: TrainState, warn: Callable[[str], None]) -> tuple[TrainState, Record] | None:
        found = self._own.restore(like, warn) if self._own else None
        record = json.loads(told(json.dumps(None if found is None else found[1]).encode()))
        return None if record is None else (told_tree(found and found[0], like), record)

    def evaluated(self, step: int, figures: Mapping[str, float]) -> None:
        if self._own:
            self._own.evaluated(step, figures)

    def keep_regular(self, every: int) -> None:
        if self._own:
            self._own.keep_regular(every)

    def wait(self) -> None:
        if self._own:
            self._own.wait()

    def close(self) -> None:
        if self._own:
            self._own.close()
