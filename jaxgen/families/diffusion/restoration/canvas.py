"""The picture that a network is shown for a photograph of another size: padded to what it takes, cut into tiles."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import numpy as np

from jaxgen.families.diffusion.restoration.operators import Crop
from jaxgen.families.diffusion.restoration.tiles import tiled
from jaxgen.families.diffusion.samplers import Denoise

_TILE = 128  # pixels a side, for networks that take any size
_PIXELS_AT_ONCE = 128 * 128  # of the tiles that are denoised together, which bounds the memory


@dataclass(frozen=True)
class Canvas:
    """Where a photograph of `size` pixels stands on the canvas, and the tiles that the network is called with."""

    size: tuple[int, int]
    canvas: tuple[int, int]
    tile: tuple[int, int]
    stride: tuple[int, int]

    @property
    def crop(self) -> Crop:
        """The photograph's part, in the middle."""
        corner = [(whole - own) // 2 for whole, own in zip(self.canvas, self.size, strict=True)]
        return Crop(self.canvas, self.size, tuple(corner))

    def padded(self, y: np.ndarray) -> np.ndarray:
        """[B, *size, C] mirrored beyond its borders to [B, *canvas, C]."""
        return np.pad(y, ((0, 0), *self.crop.around, (0, 0)), mode="symmetric")

    def over(self, denoise: Denoise) -> Denoise:
        """D of the whole canvas from the network's own."""
        if self.tile == self.canvas:
            return denoise
        batch = max(1, _PIXELS_AT_ONCE // (self.tile[0] * self.tile[1]))
        return tiled(denoise, self.tile, self.stride, batch)


def canvas_for(size: tuple[int, int], trained: tuple[int, int], multiple: int | None) -> Canvas:
    """For a network `trained` on pictures of one size; it takes all whose sides are multiples of `multiple`, if any.

    Tiles of a network of one size overlap by half, for what it says of a tile's border is worth the least; larger ones
    by a quarter.
    """
    if multiple is None:
        canvas = tuple(np.maximum(size, trained).tolist())
        return Canvas(size, canvas, trained, tuple(max(1, side // 2) for side in trained))
    canvas = tuple(-(-max(own, side) // multiple) * multiple for own, side in zip(size, trained, strict=True))
    tile = tuple(min(side, max(_TILE // multiple, 1) * multiple) for side in canvas)
    return Canvas(size, canvas, tile, tuple(max(1, side * 3 // 4) for side in tile))
