"""How Orbax keeps checkpoints here: one process writes, or all their own parts; the files' digests stand beside."""
# SPDX-License-Identifier: Apache-2.0

import sys
from asyncio import base_events
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import PreservationPolicy

from jaxgen.training.checkpoint_files import RECORD, STATE, write_digests
from jaxgen.training.processes import several

WRITER = f"Orbax {ocp.__version__}"


def open_manager(
    folder: Path, kept: Callable[[Sequence[int]], set[int | None]] | None, together: bool = False
) -> ocp.CheckpointManager:
    """Orbax's manager of a folder, that keeps of some steps those that `kept` chooses; None: to read alone.

    Of several processes any may have its own; `together` all have one, and each of its methods is called by all.
    """
    among = _among(together)
    if kept is None:
        options = ocp.CheckpointManagerOptions(read_only=True, **among)
    else:
        if not isinstance(sys.unraisablehook, _LateWrites):
            sys.unraisablehook = _LateWrites(sys.unraisablehook)
        if among:
            folder.mkdir(parents=True, exist_ok=True)
        options = ocp.CheckpointManagerOptions(preservation_policy=_Kept(kept), cleanup_tmp_directories=True, **among)
    return ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=_handlers(among))


def _among(together: bool) -> dict[str, Any]:
    """Options for a manager of all processes, or for one that waits for no other.

    The processes are named in both, for then Orbax has them wait for each other without a device: that may be done on
    a thread, while the devices' own sums go on.
    """
    if not several():
        return {}
    own = jax.process_index()
    active = set(range(jax.process_count())) if together else {own}
    options = ocp.options.MultiprocessingOptions(
        primary_host=min(active), active_processes=active, barrier_sync_key_prefix=f"process_{min(active)}"
    )
    return {"multiprocessing_options": options, "create": False}


def _handlers(among: dict[str, Any]) -> dict[str, ocp.CheckpointHandler]:
    """Arrays stand in the files as they are: what a checkpoint takes is known before, and packing numbers saves 7 %."""
    options = {"multiprocessing_options": among["multiprocessing_options"]} if among else {}
    return {
        STATE: _DigestedArrays(use_compression=False, **options),
        RECORD: ocp.JsonCheckpointHandler(**options),
    }


class _DigestedArrays(ocp.PyTreeCheckpointHandler):
    """Arrays whose files are listed with their digests before the checkpoint gets its name."""

    def finalize(self, directory: Any) -> None:
        super().finalize(directory)
        write_digests(Path(directory), WRITER)


# Orbax finds a handler by the type of its arguments, each of which belongs to one class of handlers.
@ocp.args.register_with_handler(_DigestedArrays, for_save=True)
@dataclass
class SaveArrays(ocp.args.PyTreeSave):
    """What is saved."""


@ocp.args.register_with_handler(_DigestedArrays, for_restore=True)
@dataclass
class RestoreArrays(ocp.args.PyTreeRestore):
    """What is restored."""


class _Kept(PreservationPolicy):
    """Orbax's word for the steps that `kept` chooses."""

    def __init__(self, kept: Callable[[Sequence[int]], set[int | None]]):
        self._kept = kept

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = self._kept(steps)
        return [step in kept for step in steps]


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
