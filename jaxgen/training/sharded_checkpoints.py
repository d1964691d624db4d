"""The checkpoints of a run whose parameters are cut over several processes: each writes and reads what it holds."""
# SPDX-License-Identifier: Apache-2.0

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import orbax.checkpoint as ocp

from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.training.checkpoint import Best, Checkpoints
from jaxgen.training.checkpoint_files import Damaged, read_content, written_by
from jaxgen.training.checkpoint_reading import Layout
from jaxgen.training.checkpoint_writing import open_manager
from jaxgen.training.folder import unwritable
from jaxgen.training.processes import leads, refuse_together, said_by_all, told

R = TypeVar("R")


class ShardedCheckpoints(Checkpoints):
    """The folder `checkpoints/` of a run of several processes, none of which needs to hold the whole state.

    Each process has the run's folder on its disk, writes the shards that its devices hold and no other has written
    yet, and reads those that `layout` gives them: on a mesh of another shape, or of other processes, just as well.
    All call the same methods in the same order.
    """

    def __init__(self, folder: Path, keep: int, best: Best | None, layout: Layout):
        _refuse_another_disk(folder)
        self._layout = layout
        super().__init__(folder, keep, best)

    def _opened(self) -> ocp.CheckpointManager:
        return open_manager(self.folder, self._kept, together=True)

    def _on_the_host(self, plain: TrainState) -> TrainState:
        """A copy of each device's shards in its host's memory, where they lie as they did."""
        return jax.tree.map(lambda leaf: jax.device_put(leaf, leaf.sharding.with_memory_kind("pinned_host")), plain)

    def _read(self, step: int, read: Callable[[int], R]) -> R:
        """Damaged at all processes where one finds damage. They share the comparing of files with their digests."""
        if damage := self._damage(step):
            raise Damaged(damage)
        return super()._read(step, read)

    def _damage(self, step: int) -> str | None:
        """What any process finds wrong with its share of a checkpoint's files; the same at all of them."""
        damage, mistake, place = "", None, self.folder / str(step)
        try:
            read_content(place)
            written_by(place, jax.process_index(), jax.process_count())
        except Damaged as found:
            damage = str(found)
        except UserError as error:
            mistake = error
        refuse_together(mistake)
        return next((found for found in said_by_all(damage) if found), None)

    def _put_aside(self, step: int) -> Path:
        """By process 0; where it is then, at all of them."""
        aside, mistake = "", None
        try:
            aside = str(super()._put_aside(step)) if leads() else ""
        except UserError as error:
            mistake = error
        refuse_together(mistake)
        aside = told(aside.encode()).decode()
        self._manager.reload()
        return Path(aside)


def _refuse_another_disk(folder: Path) -> None:
    """UserError where a process does not see the folder of process 0."""
    mark = folder / f".seen-{told(os.urandom(8)).hex()}"
    try:
        refuse_together(_unwritten(mark) if leads() else None)  # then it is there
        sentence = (
            f"process {jax.process_index()} does not see {folder} as process 0 does, and parameters that are cut over "
            "processes are saved by all: give a --workdir on a disk that all share, or leave fsdp and tensor at 1"
        )
        mistake = None if mark.exists() else UserError(sentence)
        refuse_together(mistake)
    finally:
        if leads():
            mark.unlink(missing_ok=True)


def _unwritten(mark: Path) -> UserError | None:
    """Make a file; what is told where that fails."""
    try:
        mark.touch()
    except OSError as error:
        return unwritable(mark.parent, error)
    return None
