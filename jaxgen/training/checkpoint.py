"""Checkpoints: Orbax writes them whole, digests tell a damaged one, the newest whole one is restored."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import math
import os
import sys
from asyncio import base_events
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import PreservationPolicy

from jaxgen.core.masks import by_path
from jaxgen.core.state import TrainState, with_keys, without_keys
from jaxgen.errors import UserError
from jaxgen.training.digests import digest, leaves_of, plain_shapes, type_of
from jaxgen.training.folder import evaluations
from jaxgen.training.processes import several

R = TypeVar("R")
Record = dict[str, Any]  # what the host carries beside the state: the open window of the log, seconds trained

# What says nothing about the file: too little memory, no right to read, a device that failed.
_NO_DAMAGE = (MemoryError, PermissionError, jax.errors.JaxRuntimeError, UserError)


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

    def __init__(self, folder: Path, keep: int | None, best: Best | None = None):
        self.folder, self._run = folder / "checkpoints", folder
        self._damaged = folder / "damaged"
        self._keep, self._writable = keep, keep is not None
        if self._writable and not isinstance(sys.unraisablehook, _LateWrites):
            sys.unraisablehook = _LateWrites(sys.unraisablehook)
        alone = _alone()
        if self._writable and alone:
            self.folder.mkdir(parents=True, exist_ok=True)
        if self._writable:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=_Kept(self._kept), cleanup_tmp_directories=True, **alone
            )
        else:
            options = ocp.CheckpointManagerOptions(read_only=True, **alone)
        self._best = best
        self._manager = ocp.CheckpointManager(self.folder.absolute(), options=options, item_handlers=_handlers())
        self._values = self._saved_values() if best else {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

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
        for step in self.steps():
            with contextlib.suppress(Exception):  # said when it is restored
                if self._content(step)["record"]["regular"]:
                    values[step] = float(evaluations(self._run)[step][self._best.metric])
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
        # a copy on the host: the next step is given the device's buffers, which are a CPU's own memory
        plain = jax.tree.map(np.array, jax.device_get(without_keys(state)))
        self._writing = self._writer.submit(self._write, step, plain, record)

    def _write(self, step: int, plain: TrainState, record: Record) -> None:
        content = {"record": record, "leaves": leaves_of(plain)}
        arguments = ocp.args.Composite(
            state=ocp.args.PyTreeSave(plain), record=ocp.args.JsonSave({**content, "sha256": digest(content)})
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

        One that is damaged is named to `warn` and put aside in `damaged/`, so that no later save meets it. UserError
        when none of them is whole, or one holds other shapes than `like`.
        """
        return self._newest_whole(lambda tried: self._read(tried, like), warn, step)

    def restore_saved(self, warn: Callable[[str], None]) -> tuple[dict[str, Any], Record] | None:
        """The newest whole checkpoint as it was saved: a state's parts as nested dicts of arrays, keys as integers.

        It needs none of the classes that the run is made of. Otherwise as `restore`.
        """
        return self._newest_whole(self._read_saved, warn, None)

    def types(self) -> dict[str, str] | None:
        """The path and type of all leaves of the newest checkpoint whose record can be read; None where none can."""
        for step in self.steps():
            with contextlib.suppress(Exception):  # said when it is restored
                return {path: leaf["type"] for path, leaf in self._content(step)["leaves"].items()}
        return None

    def _newest_whole(self, read: Callable[[int], R], warn: Callable[[str], None], step: int | None) -> R | None:
        found = self.steps() if step is None else [step]
        for tried in found:
            try:
                restored = read(tried)
            except _NO_DAMAGE:
                raise
            except Exception as error:  # whatever a broken file makes Orbax raise, the answer is the same
                if step is not None:
                    others = ", ".join(str(other) for other in self.steps() if other != step) or "no others"
                    raise UserError(
                        f"the checkpoint of step {step} is damaged ({_first_line(error)}); kept beside it are {others}"
                    ) from None
                place = f"it is kept aside in {self._put_aside(tried)}" if self._writable else "an older one is tried"
                warn(f"the checkpoint of step {tried} is damaged ({_first_line(error)}); {place}")
            else:
                self._drop_old()
                return restored
        if found:
            raise UserError(f"no checkpoint of {self.folder.parent} is whole; train into another --workdir")
        return None

    def _drop_old(self) -> None:
        """What a killed run had no time to remove, once the newest is known to be whole."""
        steps = self.steps()
        for step in set(steps) - self._kept(steps) if self._writable else ():
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

    def _content(self, step: int) -> dict[str, Any]:
        return self._manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]

    def _whole_content(self, step: int) -> dict[str, Any]:
        content = self._content(step)
        if content.pop("sha256") != digest(content):
            raise ValueError("the bytes of its record are not those that were saved")
        return content

    def _read_saved(self, step: int) -> tuple[dict[str, Any], Record]:
        content = self._whole_content(step)
        described = self._manager.item_metadata(step)["state"]
        plain = ocp.RestoreArgs(restore_type=np.ndarray)
        arguments = ocp.args.PyTreeRestore(restore_args=jax.tree.map(lambda _: plain, described.tree))
        tree = self._manager.restore(step, args=ocp.args.Composite(state=arguments))["state"]
        _refuse_other_bytes(tree, content["leaves"])
        return tree, content["record"]

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, Record]:
        content = self._whole_content(step)
        saved, guarded = content["leaves"], like
        if not any(path.startswith("skipped/") for path in saved):  # from before there was a guard
            like = like.replace(skipped={})
        shapes = plain_shapes(like)
        wanted = {path: type_of(leaf) for path, leaf in by_path(shapes).items()}
        self._refuse_other_shapes(step, {path: leaf["type"] for path, leaf in saved.items()}, wanted)
        host = jax.sharding.SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=host), shapes)
        restored = ocp.args.PyTreeRestore(shapes, restore_args=ocp.checkpoint_utils.construct_restore_args(shapes))
        plain = self._manager.restore(step, args=ocp.args.Composite(state=restored))["state"]
        _refuse_other_bytes(jax.device_get(plain), saved)
        state = with_keys(plain, like)
        return state.replace(skipped=jax.tree.map(_zero, guarded.skipped) | state.skipped), content["record"]

    def _refuse_other_shapes(self, step: int, saved: dict[str, str], wanted: dict[str, str]) -> None:
        """A whole checkpoint of another network is no damage: nothing is moved, and the first difference is named."""
        for path in [*wanted, *saved]:
            if saved.get(path) != wanted.get(path):
                raise UserError(
                    f"the checkpoint of step {step} holds {path} as {saved.get(path, 'nothing')}, and the run wants "
                    f"{wanted.get(path, 'nothing')}: its data or jaxgen have changed since; undo that, or train into "
                    "another --workdir"
                )

    def _put_aside(self, step: int) -> Path:
        self._damaged.mkdir(exist_ok=True)
        number = 0
        while (aside := self._damaged / (f"checkpoint-{step}" + (f"-{number}" if number else ""))).exists():
            number += 1
        (self.folder / str(step)).rename(aside)
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
                f"a checkpoint could not be written to {self.folder} ({_first_line(error)}); {newest}: mend that (make "
                "room, where the disk is full) and run the same command again"
            ) from error


@dataclass(frozen=True)
class _LateWrites:
    """Passes over what TensorStore's threads cannot report, and hands all else on to the hook `before` it.

    Orbax gathers the writes of a checkpoint's arrays in an event loop of its own and closes it at the first that fails;
    it offers no way to wait for the others. Each that ends later finds the loop closed and Python prints a traceback,
    beside the sentence that tells of the failure. Such a call comes from no Python code, and so it is told apart.
    """

    before: Callable[[Any], object]

    def __call__(self, unraisable: Any) -> None:
        error, begun = unraisable.exc_value, unraisable.exc_traceback
        late = (
            isinstance(error, RuntimeError)
            and str(error) == "Event loop is closed"
            and begun is not None
            and begun.tb_frame.f_code is base_events.BaseEventLoop.call_soon_threadsafe.__code__
        )
        if not late:
            self.before(unraisable)


class _Kept(PreservationPolicy):
    """Orbax's word for the steps that `kept` chooses."""

    def __init__(self, kept: Callable[[Sequence[int]], set[int | None]]):
        self._kept = kept

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = self._kept(steps)
        return [step in kept for step in steps]


def _alone() -> dict[str, Any]:
    """Options for a manager that waits for no other process: one process writes, and any may read."""
    if not several():
        return {}
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )
    return {"multiprocessing_options": options, "create": False}


def _handlers() -> dict[str, ocp.CheckpointHandler]:
    """Arrays stand in the files as they are: what a checkpoint takes is known before, and packing numbers saves 7 %."""
    alone = _alone()
    options = {"multiprocessing_options": alone["multiprocessing_options"]} if alone else {}
    return {
        "state": ocp.PyTreeCheckpointHandler(use_compression=False, **options),
        "record": ocp.JsonCheckpointHandler(**options),
    }


def _refuse_other_bytes(tree: Any, saved: Mapping[str, Mapping[str, str]]) -> None:
    """ValueError where an array is not the one that was saved."""
    found = leaves_of(tree)
    for path in saved:
        if found.get(path) != saved[path]:
            raise ValueError(f"the bytes of {path} are not those that were saved")


def _zero(leaf: Any) -> np.ndarray:
    return np.zeros(leaf.shape, leaf.dtype)


def _first_line(error: BaseException) -> str:
    """The kernel of a library's long message."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:160]}"
