"""Checkpoints: Orbax writes them whole, digests tell a damaged one, the newest whole one is restored."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgen.core.masks import path_of
from jaxgen.core.state import TrainState
from jaxgen.errors import UserError

Record = dict[str, Any]  # what the host carries beside the state: the open window of the log, seconds trained
_DIGESTS = "digests"


class Checkpoints:
    """The folder `checkpoints/` of a run. Saving returns at once; `wait` raises what went wrong since.

    `keep` newest checkpoints are kept; None opens the folder to be read alone, and changes nothing in it.
    """

    def __init__(self, folder: Path, keep: int | None):
        self.folder = folder / "checkpoints"
        self._damaged = folder / "damaged"
        self._writable = keep is not None
        if self._writable:
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        else:
            options = ocp.CheckpointManagerOptions(read_only=True)
        self._manager = ocp.CheckpointManager(self.folder.absolute(), options=options)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, step: int, state: TrainState, record: Record) -> None:
        """Start to write the state. UserError when this save, or the one before it, cannot be written."""
        plain = jax.device_get(_plain(state))  # a copy: the next step is given the device's buffers
        record = {**record, _DIGESTS: _digests(plain)}
        try:
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(plain), record=ocp.args.JsonSave(record))
            )
        except Exception as error:
            raise self._unsaved(error) from error

    def wait(self) -> None:
        """Until the last save is on disk. UserError when it could not be written."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unsaved(error) from error

    def restore(self, like: TrainState, warn: Callable[[str], None]) -> tuple[TrainState, Record] | None:
        """The newest whole checkpoint in the shapes of `like`, as host arrays; None when there is none.

        One that is damaged is named to `warn` and put aside in `damaged/`, so that no later save meets it.
        """
        for step in self.steps():
            try:
                return self._read(step, like)
            except Exception as error:  # whatever a broken file makes Orbax raise, the answer is the same
                place = f"it is kept aside in {self._put_aside(step)}" if self._writable else "an older one is tried"
                warn(f"the checkpoint of step {step} is damaged ({_first_line(error)}); {place}")
        return None

    def close(self) -> None:
        self._manager.close()

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, Record]:
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), jax.eval_shape(_plain, like))
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), shapes)
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(shapes), record=ocp.args.JsonRestore())
        restored = self._manager.restore(step, args=arguments)
        plain, record = jax.device_get(restored["state"]), restored["record"]
        expected = record.pop(_DIGESTS)
        for path, digest in _digests(plain).items():
            if digest != expected.get(path):
                raise ValueError(f"the bytes of {path} are not those that were saved")
        return plain.replace(
            key=jax.random.wrap_key_data(plain.key), source=_wrapped(plain.source, like.source)
        ), record

    def _put_aside(self, step: int) -> Path:
        self._damaged.mkdir(exist_ok=True)
        number = 0
        while (aside := self._damaged / (f"checkpoint-{step}" + (f"-{number}" if number else ""))).exists():
            number += 1
        (self.folder / str(step)).rename(aside)
        self._manager.reload()
        return aside

    def _unsaved(self, error: Exception) -> UserError:
        kept = [step for step in self.steps() if (self.folder / str(step)).is_dir()]
        newest = f"the checkpoint of step {kept[0]} is whole" if kept else "there is no earlier checkpoint"
        return UserError(
            f"a checkpoint could not be written to {self.folder} ({_first_line(error)}); {newest}: make room and "
            "run the same command again"
        )


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(state: TrainState) -> TrainState:
    """The state with typed keys as the integers that they are."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _wrapped(tree: Any, like: Any) -> Any:
    """`tree` with typed keys again wherever `like` has them."""
    return jax.tree.map(lambda leaf, kind: jax.random.wrap_key_data(leaf) if _is_key(kind) else leaf, tree, like)


def _digests(tree: Any) -> dict[str, str]:
    """A leaf's path -> the SHA-256 of its shape, type and bytes."""
    digests = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        head = f"{array.dtype}{array.shape}".encode()
        digests[path_of(keys)] = hashlib.sha256(head + array.tobytes()).hexdigest()
    return digests


def _first_line(error: BaseException) -> str:
    """The kernel of a library's long message."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:160]}"
