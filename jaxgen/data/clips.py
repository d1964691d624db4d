"""Moving digits: clips made inside the program, in which digits bounce around with known positions and speeds."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgen.data.pictures import Pictures, spec_of
from jaxgen.data.splits import holding_out
from jaxgen.errors import UserError
from jaxgen.ops.motion import bounced, placed
from jaxgen.ops.rows import row_keys
from jaxgen.types import Arrays, Batch, Clip, Key, Spec, Variables

UNITS = 256  # of a pixel: positions and speeds are whole numbers of them, and so the same on every device
_EVALUATED = 20_231_117  # the seed of the clips that evaluation sees


@struct.dataclass
class BouncingDigits:
    """A traced source of clips: a pure function of its key, a batch's number and a row's."""

    image: jax.Array  # [N, h, w, C] uint8
    label: jax.Array  # [N] int32
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)
    fastest: int = struct.field(pytree_node=False)  # UNITS a frame

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def next(self, state: Key, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Key]:
        keys = row_keys(jax.random.fold_in(state, number), rows)
        return {"given": {}, "made": jax.vmap(self._clip)(keys), "row": rows}, state

    def _clip(self, key: Key) -> dict[str, jax.Array]:
        """One row of a batch, as `MovingDigits` describes it."""
        frames, size, *_ = self.spec.made.shape
        most, room = self.spec.made.moving, UNITS * (size - jnp.asarray(self.image).shape[1])
        count_key, which_key, start_key, speed_key = jax.random.split(key, 4)
        present = jnp.arange(most) < jax.random.randint(count_key, (), 1, most + 1)
        which = jax.random.randint(which_key, (most,), 0, len(self.image))
        start = jax.random.randint(start_key, (most, 2), 0, room + 1)
        speed = jax.random.randint(speed_key, (most, 2), -self.fastest, self.fastest + 1)
        time = jnp.arange(frames)[:, None, None]
        position, speed = bounced(start, speed, time, room)  # [T, N, 2]
        pictures = jnp.where(present[:, None, None, None], jnp.asarray(self.image)[which], 0)
        place = jax.vmap(jax.vmap(placed, (0, 0, None)), (None, 0, None))
        clip = place(pictures, (position + UNITS // 2) // UNITS, size).max(axis=1)  # [T, size, size, C]
        known = present[:, None]
        return {
            "value": clip,
            "position": jnp.where(known, position, 0).astype(jnp.float32) / UNITS,
            "speed": jnp.where(known, speed, 0).astype(jnp.float32) / UNITS,
            "kind": jnp.where(present, jnp.asarray(self.label)[which], -1),
        }


@dataclass(frozen=True)
class MovingDigits:
    """Clips of one to `most` digits that fly straight and bounce off the frame's edges, after Moving MNIST.

    Of arXiv 1502.04681, from any set of labelled square pictures. `value` [B, T, H, W, C] uint8 holds at each pixel the
    brighter digit; `position` [B, T, N, 2] is the (row, column) of each digit's upper left corner in pixels, exactly,
    and drawn at the nearest pixel; `speed` [B, T, N, 2] is the one with which it leaves that frame, pixels a frame;
    `kind` [B, N] are the digits, -1 where there are fewer than N, whose position and speed are 0.
    """

    digits: str = "digits"  # the set, as `Pictures` knows it
    batch_size: int = 32
    frames: int = 20  # T
    size: int = 32  # H and W
    most: int = 2  # N
    fastest: float = 2.0  # pixels a frame, along each axis
    evaluated: int = 256  # clips that an evaluation sees, of digits that training does not
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default
    holds_out: bool = field(init=False, repr=False, default=False)  # whether digits are set aside for validation

    def __post_init__(self):
        if min(self.batch_size, self.frames, self.most, self.evaluated) < 1:
            raise UserError(
                f"batch_size is {self.batch_size}, frames {self.frames}, most {self.most} and evaluated "
                f"{self.evaluated}; give at least 1 of each"
            )
        if not 1 / UNITS <= self.fastest < 2**30 / (UNITS * self.frames):
            raise UserError(
                f"data.fastest is {self.fastest}; give at least {1 / UNITS} pixels a frame, and fewer frames"
            )

    @property
    def name(self) -> str:
        return f"moving-{self.digits}"

    @property
    def _pictures(self) -> Pictures:
        pictures = Pictures(name=self.digits, data_dir=self.data_dir)
        return pictures.with_validation() if self.holds_out else pictures

    def with_validation(self) -> "MovingDigits":
        """These data with a "validation" split, of digits that are not trained on."""
        return holding_out(self)

    def spec(self) -> Spec:
        pictures = spec_of(self._pictures, "data.digits")
        height, width, channels = pictures.made.shape
        if height != width or "class" not in dict(pictures.given):
            raise UserError(
                f"{self.digits} has pictures that are not square or have no labels; name another set of digits"
            )
        if self.size <= height:
            raise UserError(f"data.size is {self.size}; give more than the {height} pixels of a digit of {self.digits}")
        return Spec(Clip(self.frames, self.size, self.size, channels, pictures.made.levels, self.most))

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the digits."""
        return key

    def source(self) -> BouncingDigits:
        return self._of("train")

    def _of(self, split: str) -> BouncingDigits:
        arrays, fastest = self._pictures.arrays(split), int(self.fastest * UNITS)
        image, label = arrays["made"]["value"], arrays["given"]["class"]["value"]
        return BouncingDigits(image, label, self.spec(), self.batch_size, fastest)

    def remarks(self, source: Any) -> Iterator[str]:
        """Where the clips come from."""
        if isinstance(source, BouncingDigits):
            yield f"data: clips made on the device of {len(source.image):,} digits of {self.digits}"

    def evaluation(self, split: str) -> dict[str, Any]:
        """As many clips as are `evaluated`, of the split's own digits and always the same: [n, B, ...]."""
        source, count = self._of(split), -(-self.evaluated // self.batch_size)
        key, rows = jax.random.key(_EVALUATED), jnp.arange(self.batch_size)
        made = jax.lax.map(lambda number: source.next(key, None, number, rows)[0], jnp.arange(count))
        row = np.arange(count * self.batch_size, dtype=np.int32).reshape(count, self.batch_size)
        weight = (row < self.evaluated).astype(np.float32)
        return jax.tree.map(np.asarray, made) | {"row": row, "weight": weight}

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first of the clips that an evaluation sees, [N, ...] each."""
        batches = self.evaluation(split)
        parts = {name: batches[name] for name in ("given", "made")}
        return jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:])[: min(count, self.evaluated)], parts)


def kinds_and_speeds(clips: Arrays, classes: int) -> tuple[jax.Array, jax.Array]:
    """[B, classes] which digits are in clips, and [B, 2] their speeds without signs, the mean over them."""
    count = jax.nn.one_hot(clips["kind"], classes).sum(axis=1)  # of -1 none
    speeds = jnp.abs(clips["speed"][:, 0]).sum(axis=1)  # of one that is not there 0
    return count > 0, speeds / count.sum(axis=1, keepdims=True)
