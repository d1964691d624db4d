"""The picture that a network is shown for a photograph of another size: padded to what it takes, cut into tiles."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import numpy as np

from jaxgen.families.diffusion.restoration.operators import Crop
from jaxgen.families.diffusion.restoration.tiles import tiled
from jaxgen.families.diffusion.samplers import Denoise

_TILE, _OVERLAP = 288, 32  # pixels a side at most, for networks that take any size
_PIXELS_AT_ONCE = 128 * 128  # of smaller tiles that are denoised together; both bound the memory


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

    Tiles of a network of one size overlap by half, for what it says of a tile's border is worth the least. Others are
    as even as can be and overlap by 32 pixels.
    """
    if multiple is None:
        canvas = tuple(np.maximum(size, trained).tolist())
        return Canvas(size, canvas, trained, tuple(max(1, side // 2) for side in trained))
    canvas = tuple(-(-max(own, side) // multiple) * multiple for own, side in zip(size, trained, strict=True))
    tile = tuple(_even(side, multiple) for side in canvas)
    return Canvas(size, canvas, tile, tuple(max(1, side - _OVERLAP) for side in tile))


def _even(side: int, multiple: int) -> int:
    """The side of as few tiles as cover a canvas's."""
    count = max(1, math.ceil((side - _OVERLAP) / (_TILE - _OVERLAP)))
    return min(side, math.ceil((side + (count - 1) * _OVERLAP) / (count * multiple)) * multiple)
