"""A checkpoint read back: its arrays are those that were saved, or whose fault it is that they are not there."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp

from jaxgen.core.masks import by_path, path_of
from jaxgen.core.state import TrainState, with_keys
from jaxgen.disk import passing, retried
from jaxgen.errors import UserError
from jaxgen.training.checkpoint_files import STATE, Damaged, read_content, written_by
from jaxgen.training.checkpoint_writing import WRITER, RestoreArrays
from jaxgen.training.digests import leaves_of, plain_shapes, type_of
from jaxgen.training.schedules import RateState, is_rate

R = TypeVar("R")
Layout = Callable[[TrainState], Any]  # a state's shapes -> a sharding for each leaf
Record = dict[str, Any]  # what the host carries beside the state: the open window of the log, seconds trained

_NOT_THE_FILES = (MemoryError, jax.errors.JaxRuntimeError, UserError)  # what says nothing about a checkpoint's files


def read_if_whole(folder: Path, step: int, read: Callable[[int], R]) -> R:
    """What `read` makes of a checkpoint in `folder`, tried again while the disk fails.

    Damaged where its files are not those that were saved; UserError where they are, and all the same cannot be read.
    """
    try:
        return retried(lambda: read(step))
    except (Damaged, *_NOT_THE_FILES):
        raise
    except Exception as error:  # whatever a file makes Orbax raise, its digest says whose fault it is
        failure, disk = first_line(error), passing(error)
    place = folder / str(step)
    writer = written_by(place)
    if disk is not None:
        what = f"cannot be read ({disk}); nothing was moved: see to that disk, and run the same command again"
    elif writer is None:
        what = (
            f"cannot be read by {WRITER} ({failure}), and it has no digests of its files that would tell whether it is "
            f"damaged; nothing was moved: move {place} away to go on from an older one"
        )
    else:
        what = (
            f"is as it was saved, but {WRITER} cannot read it ({failure}); {writer} has written it: install that, and "
            "run the same command again; nothing was moved"
        )
    raise UserError(f"the checkpoint of step {step} {what}")


def read_saved(manager: ocp.CheckpointManager, step: int) -> tuple[dict[str, Any], Record]:
    """A checkpoint as it was saved: nested dicts of arrays of the host, and its record. Damaged where it is another."""
    content = read_content(_place(manager, step))
    described = manager.item_metadata(step)[STATE]
    plain = ocp.RestoreArgs(restore_type=np.ndarray)
    arguments = RestoreArrays(restore_args=jax.tree.map(lambda _: plain, described.tree))
    tree = manager.restore(step, args=ocp.args.Composite(**{STATE: arguments}))[STATE]
    _refuse_other_bytes(tree, content["leaves"], _place(manager, step))
    return tree, content["record"]


def read_state(
    manager: ocp.CheckpointManager, step: int, like: TrainState, layout: Layout | None = None
) -> tuple[TrainState, Record]:
    """A checkpoint in the shapes of `like`, on the host, or as the `layout` of such shapes says; and its record.

    Damaged where it is not what was saved, as far as this process has it whole; UserError where that has other shapes.
    Peaks of learning rates that a version before they were leaves has not saved are nan.
    """
    content = read_content(_place(manager, step))
    saved, guarded = content["leaves"], like
    if not any(path.startswith("skipped/") for path in saved):  # from before there was a guard
        like = like.replace(skipped={})
    if not any(path.endswith("/peak") for path in saved):  # from before a rate was a leaf
        like = like.replace(opt_state=_as_before_rates(like.opt_state, set(saved)))
    shapes = plain_shapes(like)
    wanted = {path: type_of(leaf) for path, leaf in by_path(shapes).items()}
    _refuse_other_shapes(step, {path: leaf["type"] for path, leaf in saved.items()}, wanted)
    lies = layout(shapes) if layout else jax.tree.map(lambda _: _host(), shapes)
    shapes = jax.tree.map(lambda leaf, lie: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=lie), shapes, lies)
    restored = RestoreArrays(shapes, restore_args=ocp.checkpoint_utils.construct_restore_args(shapes))
    plain = manager.restore(step, args=ocp.args.Composite(**{STATE: restored}))[STATE]
    _refuse_other_bytes(plain if layout else jax.device_get(plain), saved, _place(manager, step))
    state = with_keys(plain, like)
    state = state.replace(skipped=jax.tree.map(_zero, guarded.skipped) | state.skipped)
    return state.replace(opt_state=_without_peaks(state.opt_state, guarded.opt_state)), content["record"]


def _as_before_rates(opt_state: Any, saved: set[str]) -> Any:
    """The optimisers' state as versions had it whose rates were no leaves: a schedule's count, or nothing."""

    def before(keys: tuple, part: Any) -> Any:
        if not is_rate(part):
            return part
        counts = f"opt_state/{path_of(keys)}/count" in saved
        return optax.ScaleByScheduleState(part.count) if counts else optax.EmptyState()

    return jax.tree_util.tree_map_with_path(before, opt_state, is_leaf=is_rate)


def _without_peaks(opt_state: Any, like: Any) -> Any:
    """Undo it; the peaks, which were not saved, are nan."""

    def after(kind: Any, part: Any) -> Any:
        if not is_rate(kind) or is_rate(part):
            return part
        count = part.count if isinstance(part, optax.ScaleByScheduleState) else _zero(kind.count)
        return RateState(count, np.full_like(_zero(kind.peak), np.nan))

    return jax.tree.map(after, like, opt_state, is_leaf=is_rate)


def _place(manager: ocp.CheckpointManager, step: int) -> Path:
    return Path(manager.directory) / str(step)


def _refuse_other_shapes(step: int, saved: dict[str, str], wanted: dict[str, str]) -> None:
    """A whole checkpoint of another network is no damage: nothing is moved, and the first difference is named."""
    for path in [*wanted, *saved]:
        if saved.get(path) != wanted.get(path):
            raise UserError(
                f"the checkpoint of step {step} holds {path} as {saved.get(path, 'nothing')}, and the run wants "
                f"{wanted.get(path, 'nothing')}: its data or jaxgen have changed since; undo that, or train into "
                "another --workdir"
            )


def _host() -> jax.sharding.Sharding:
    return jax.sharding.SingleDeviceSharding(jax.local_devices(backend="cpu")[0])


def _refuse_other_bytes(tree: Any, saved: Mapping[str, Mapping[str, str]], place: Path) -> None:
    """Damaged where an array is not the one that was saved.

    One that was saved in parts by several processes has no digest of its own: the files' digests are looked at instead.
    """
    found = leaves_of(tree)
    for path, leaf in saved.items():
        if path not in found or any(found[path].get(key, value) != value for key, value in leaf.items()):
            raise Damaged(f"the bytes of {path} are not those that were saved")
    if any("sha256" not in leaf for leaf in saved.values()) and all("sha256" in leaf for leaf in found.values()):
        written_by(place)


def _zero(leaf: Any) -> np.ndarray:
    return np.zeros(leaf.shape, leaf.dtype)


def first_line(error: BaseException) -> str:
    """The kernel of a library's long message."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:160]}"
