"""Stacked digits: three digits in the colours of one picture, of which every thousand kinds are equally frequent."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgen.data.pictures import Pictures, spec_of
from jaxgen.data.sources import padded_batches
from jaxgen.errors import UserError
from jaxgen.ops.rows import integers
from jaxgen.types import Batch, Image, Key, Spec, Variables

COLOURS = 3
_EVALUATED = 20_231_117  # the seed of the pictures that evaluation sees


@struct.dataclass
class StackingDigits:
    """A traced source: three digits drawn for each row."""

    image: jax.Array  # [N, h, w, 1] uint8
    spec: Spec = struct.field(pytree_node=False)
    batch_size: int = struct.field(pytree_node=False)

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def next(self, state: Key, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Key]:
        which = integers(jax.random.fold_in(state, number), rows, (COLOURS,), len(self.image))
        return {"given": {}, "made": {"value": stacked(jnp.asarray(self.image), which)}, "row": rows}, state


def stacked(image: jax.Array, which: jax.Array) -> jax.Array:
    """[B, h, w, 3] of the pictures [N, h, w, 1] numbered `which` [B, 3]."""
    return image[which, :, :, 0].transpose(0, 2, 3, 1)


@dataclass(frozen=True)
class StackedDigits:
    """Three digits of a set of labelled grey pictures, each in a colour: Stacked MNIST (arXiv 1611.02163, section 3.3).

    Nothing is given. Whether a model makes all 1,000 kinds tells how many modes it has lost (metrics/modes.py).
    """

    digits: str = "mnist"  # the set, as `Pictures` knows it
    batch_size: int = 64
    evaluated: int = 26_000  # pictures that an evaluation can see, of digits that training does not
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default

    def __post_init__(self):
        if min(self.batch_size, self.evaluated) < 1:
            raise UserError(
                f"batch_size is {self.batch_size} and evaluated {self.evaluated}; give at least 1 of each"
            )

    @property
    def name(self) -> str:
        return f"stacked-{self.digits}"

    @property
    def _pictures(self) -> Pictures:
        return Pictures(name=self.digits, data_dir=self.data_dir)

    def spec(self) -> Spec:
        image = spec_of(self._pictures, "data.digits").made
        if image.channels != 1:
            raise UserError(f"{self.digits} has pictures in colour; name a set of grey digits in data.digits")
        return Spec(Image(image.height, image.width, COLOURS, image.levels))

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the digits."""
        return key

    def source(self) -> StackingDigits:
        return StackingDigits(self._pictures.arrays("train")["made"]["value"], self.spec(), self.batch_size)

    def remarks(self, source: Any) -> Iterator[str]:
        """Where the pictures come from."""
        if isinstance(source, StackingDigits):
            yield f"data: pictures made on the device of three of {len(source.image):,} digits of {self.digits}"

    def evaluation(self, split: str) -> dict[str, Any]:
        """As many pictures as are `evaluated`, of the split's own digits and always the same: [n, B, ...]."""
        return padded_batches(self.first(split, self.evaluated), self.batch_size)

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first of the pictures that an evaluation sees, [N, ...] each."""
        image = np.asarray(self._pictures.arrays(split)["made"]["value"])
        which = np.random.default_rng(_EVALUATED).integers(0, len(image), (self.evaluated, COLOURS))
        return {"given": {}, "made": {"value": stacked(image, which[:count])}}
