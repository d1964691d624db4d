"""Checkpoints: Orbax writes them whole, digests tell a damaged one, the newest whole one is restored."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgen.core.state import TrainState, without_keys
from jaxgen.disk import retried, unreadable
from jaxgen.errors import UserError
from jaxgen.training.checkpoint_files import FOLDER, Damaged, read_content
from jaxgen.training.checkpoint_reading import Layout, Record, first_line, read_if_whole, read_saved, read_state
from jaxgen.training.checkpoint_writing import SaveArrays, open_manager
from jaxgen.training.digests import digest, leaves_of
from jaxgen.training.folder import evaluations

R = TypeVar("R")


@dataclass(frozen=True)
class Best:
    """The checkpoint whose figure `metric`, of the evaluation at its step, is the best: it is kept however old it is.

    Only a step that has both an evaluation and a checkpoint of `every` can be it. The figure is of the validation
    split, never of the test split.
    """

    metric: str  # as metrics.jsonl names it in the validation split's lines
    lower: bool = True  # whether lower is better

    def of(self, values: Mapping[int, float]) -> int | None:
        """The best of steps with a figure each, of equals the newest; None where there is none."""
        finite = {step: value if self.lower else -value for step, value in values.items() if math.isfinite(value)}
        return min(finite, key=lambda step: (finite[step], -step), default=None)


class Checkpoints:
    """The folder `checkpoints/` of a run. Files are hashed and written on a thread; `wait` raises what went wrong.

    The `keep` newest checkpoints are kept, and the `best`; None opens the folder to be read alone, and changes nothing.
    """

    _layout: Layout | None = None  # by which a state is restored; None: to the host

    def __init__(self, folder: Path, keep: int | None, best: Best | None = None):
        self.folder, self._run = folder / FOLDER, folder
        self._damaged = folder / "damaged"
        self._keep, self._writable, self._best = keep, keep is not None, best
        try:
            self._manager = retried(self._opened)
        except OSError as error:
            raise unreadable(self.folder, error) from None
        self._values = self._saved_values() if best else {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def _opened(self) -> ocp.CheckpointManager:
        return open_manager(self.folder, self._kept if self._writable else None)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def best(self) -> int | None:
        """The step of the best checkpoint; None where none has the figure."""
        present = self.steps()
        return self._best_of(present)

    def _best_of(self, steps: Iterable[int]) -> int | None:
        known = {step: self._values[step] for step in steps if step in self._values}
        return self._best.of(known) if self._best else None

    def _kept(self, steps: Sequence[int]) -> set[int | None]:
        """Those of the steps that are not removed."""
        return {*sorted(steps)[-self._keep :], self._best_of(steps)}

    def _saved_values(self) -> dict[int, float]:
        """The figure of each regular checkpoint that was evaluated; a damaged record has none."""
        values = {}
        figures = evaluations(self._run)
        for step in self.steps():
            with contextlib.suppress(Damaged):  # said when it is restored
                figure = figures.get(step, {}).get(self._best.metric)
                if figure is not None and read_content(self.folder / str(step))["record"].get("regular"):
                    values[step] = float(figure)
        return values

    def evaluated(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of a regular checkpoint, which is saved before it is evaluated."""
        if self._best and self._best.metric in figures:
            self._values[step] = figures[self._best.metric]

    def save(self, step: int, state: TrainState, record: Record) -> None:
        """Copy the state to the host and start to write it; of an earlier save that still goes on, its end first.

        UserError when the earlier one could not be written. `record["regular"]`: whether `best` may choose it.
        """
        self.wait()
        self._writing = self._writer.submit(self._write, step, self._on_the_host(without_keys(state)), record)

    def _on_the_host(self, plain: TrainState) -> TrainState:
        """A copy: the next step is given the device's buffers, which are a CPU's own memory."""
        return jax.tree.map(np.array, jax.device_get(plain))

    def _write(self, step: int, plain: TrainState, record: Record) -> None:
        content = {"record": record, "leaves": leaves_of(plain), "listed": True}
        arguments = ocp.args.Composite(
            state=SaveArrays(plain), record=ocp.args.JsonSave({**content, "sha256": digest(content)})
        )
        if not self._manager.save(step, args=arguments):
            raise OSError(f"a checkpoint as new as step {step} stands there already")
        self._manager.wait_until_finished()

    def wait(self) -> None:
        """Until the last save is on disk. UserError when it could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            with self._told():
                writing.result()

    def close(self) -> None:
        """`wait`, and let go of the folder."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()
            with self._told():
                self._manager.close()

    def restore(
        self, like: TrainState, warn: Callable[[str], None], step: int | None = None
    ) -> tuple[TrainState, Record] | None:
        """The newest whole checkpoint in the shapes of `like`, as arrays of the host; None when there is none at all.

        Where a `step` is asked for, that one or none.

        One that is damaged, so that a digest differs, is named to `warn` and put aside in `damaged/`, and no later save
        meets it. UserError when none of them is whole, one holds other shapes than `like`, or one cannot be read though
        it is not damaged: then nothing is moved.
        """
        return self._newest_whole(lambda tried: read_state(self._manager, tried, like, self._layout), warn, step)

    def restore_saved(self, warn: Callable[[str], None]) -> tuple[dict[str, Any], Record] | None:
        """The newest whole checkpoint as it was saved: a state's parts as nested dicts of arrays, keys as integers.

        It needs none of the classes that the run is made of. Otherwise as `restore`.
        """
        return self._newest_whole(lambda tried: read_saved(self._manager, tried), warn, None)

    def types(self) -> dict[str, str] | None:
        """The path and type of all leaves of the newest checkpoint whose record can be read; None where none can."""
        for step in self.steps():
            with contextlib.suppress(Damaged):  # said when it is restored
                return {path: leaf["type"] for path, leaf in read_content(self.folder / str(step))["leaves"].items()}
        return None

    def _newest_whole(self, read: Callable[[int], R], warn: Callable[[str], None], step: int | None) -> R | None:
        found = self.steps() if step is None else [step]
        for tried in found:
            try:
                restored = self._read(tried, read)
            except Damaged as damage:
                if step is not None:
                    others = ", ".join(str(other) for other in self.steps() if other != step) or "no others"
                    raise UserError(
                        f"the checkpoint of step {step} is damaged ({damage}); kept beside it are {others}"
                    ) from None
                place = f"it is kept aside in {self._put_aside(tried)}" if self._writable else "an older one is tried"
                warn(f"the checkpoint of step {tried} is damaged ({damage}); {place}")
            else:
                self._drop_old()
                return restored
        if found:
            raise UserError(f"no checkpoint of {self.folder.parent} is whole; train into another --workdir")
        return None

    def _read(self, step: int, read: Callable[[int], R]) -> R:
        return read_if_whole(self.folder, step, read)

    def _drop_old(self) -> None:
        """What a killed run had no time to remove, once the newest is known to be whole."""
        steps = self.steps()
        for step in sorted(set(steps) - self._kept(steps)) if self._writable else ():
            self._manager.delete(step)

    def keep_regular(self, every: int) -> None:
        """Drop what was saved between two multiples of `every`, as a stopped run's last state is, after the newest one.

        Nothing is dropped where no multiple is kept.
        """
        self.wait()
        regular = next((step for step in self.steps() if step % every == 0), None)
        for step in self.steps():
            if regular is not None and step > regular:
                self._manager.delete(step)

    def _put_aside(self, step: int) -> Path:
        number = 0
        while (aside := self._damaged / (f"checkpoint-{step}" + (f"-{number}" if number else ""))).exists():
            number += 1
        try:
            self._damaged.mkdir(exist_ok=True)
            (self.folder / str(step)).rename(aside)
        except OSError as error:
            raise UserError(
                f"the checkpoint of step {step} is damaged and cannot be moved to {aside} ({error.strerror}); make the "
                "folder writable, and run the same command again"
            ) from None
        self._manager.reload()
        return aside

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever keeps a checkpoint from being written, said in one sentence."""
        try:
            yield
        except Exception as error:
            kept = [step for step in self.steps() if os.path.isdir(self.folder / str(step))]
            newest = f"the checkpoint of step {kept[0]} is whole" if kept else "there is no earlier checkpoint"
            raise UserError(
                f"a checkpoint could not be written to {self.folder} ({first_line(error)}); {newest}: mend that (make "
                "room, where the disk is full) and run the same command again"
            ) from error
