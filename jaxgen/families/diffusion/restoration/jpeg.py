"""JPEG as a degradation: what the file format does to a picture, with a gradient that passes the rounding by."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgen.errors import UserError

# Quantisation of the 8 x 8 DCT coefficients at quality 50 (ITU-T T.81, annex K), rows of vertical frequency.
_LUMA = """16 11 10 16 24 40 51 61   12 12 14 19 26 58 60 55   14 13 16 24 40 57 69 56   14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92   49 64 78 87 103 121 120 101   72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99"""
_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)  # ITU-R BT.601 over the full range, as JFIF has it


@struct.dataclass
class Jpeg:
    """A picture [B, H, W, 1 or 3] in [-1, 1] written at a `quality` of 1 to 100 and read again.

    The tables are those of libjpeg. Chroma has one value for `chroma` rows and columns, (2, 2) (4:2:0) as most writers
    do, and is interpolated when it is read. Its blocks of 8 x 8 begin at the corner of the picture as it was stored,
    which EXIF's `orientation`, 1 to 8, turned to x. Rounding has the gradient 1 (straight-through), so that DPS has
    one; Aᵀ and A⁺ do not exist.
    """

    quality: int = struct.field(pytree_node=False)
    chroma: tuple[int, int] = struct.field(pytree_node=False, default=(2, 2))
    orientation: int = struct.field(pytree_node=False, default=1)

    def forward(self, x: jax.Array) -> jax.Array:
        """The picture as it is read back, of x's shape."""
        channels = x.shape[3]
        if channels not in (1, 3) or not 1 <= self.quality <= 100:
            raise UserError(f"JPEG has 1 or 3 channels and a quality of 1 to 100, not {channels} and {self.quality}")
        return _shown(self._read_back(_stored(x, self.orientation)), self.orientation)

    def _read_back(self, x: jax.Array) -> jax.Array:
        _, height, width, channels = x.shape
        rows, columns = (8, 8) if channels == 1 else (8 * every for every in self.chroma)
        padded = jnp.pad(x, ((0, 0), (0, -height % rows), (0, -width % columns), (0, 0)), mode="edge")
        levels = _rounded((padded + 1) * 127.5)
        read = self._grey(levels) if channels == 1 else self._coloured(levels)
        return _rounded(jnp.clip(read[:, :height, :width], 0, 255)) / 127.5 - 1

    def _grey(self, levels: jax.Array) -> jax.Array:
        return _compressed(levels - 128, _table(_LUMA, self.quality)) + 128

    def _coloured(self, levels: jax.Array) -> jax.Array:
        planes = levels @ _TO_YCBCR.T  # Y in 0 .. 255, Cb and Cr around 0
        luma = _compressed(planes[..., :1] - 128, _table(_LUMA, self.quality)) + 128
        (count, height, width, _), (down, right) = planes.shape, self.chroma
        coarse = planes[..., 1:].reshape(count, height // down, down, width // right, right, 2).mean(axis=(2, 4))
        chroma = _compressed(coarse, _table(_CHROMA, self.quality))
        chroma = jax.image.resize(chroma, (count, height, width, 2), "linear")  # libjpeg's weights, 3/4 and 1/4
        return jnp.concatenate([luma, chroma], axis=-1) @ np.linalg.inv(_TO_YCBCR).T


def _shown(stored: jax.Array, orientation: int) -> jax.Array:
    """[B, H, W, C] upright, by EXIF's orientation (Exif 2.32, tag 274)."""
    turned = stored.swapaxes(1, 2) if orientation >= 5 else stored
    return jnp.flip(turned, _flipped(orientation))


def _stored(shown: jax.Array, orientation: int) -> jax.Array:
    """The inverse of `_shown`."""
    turned = jnp.flip(shown, _flipped(orientation))
    return turned.swapaxes(1, 2) if orientation >= 5 else turned


def _flipped(orientation: int) -> tuple[int, ...]:
    """The axes along which an upright picture runs against the stored one."""
    return (1,) * (orientation in (3, 4, 7, 8)) + (2,) * (orientation in (2, 3, 6, 7))


def nearest_quality(divisors: np.ndarray) -> int:
    """The quality whose luma divisors [8, 8] are nearest to these, which may come from another program than libjpeg."""
    return min(range(1, 101), key=lambda quality: float(np.abs(_table(_LUMA, quality) - divisors).sum()))


def _table(words: str, quality: int) -> np.ndarray:
    """[8, 8] divisors at a quality, by libjpeg's rule."""
    base = np.array(words.split(), np.int64).reshape(8, 8)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * scale + 50) // 100, 1, 255).astype(np.float32)


def _compressed(plane: jax.Array, table: np.ndarray) -> jax.Array:
    """[B, H, W, C] with the DCT coefficients of each block of 8 x 8 rounded to multiples of the table's numbers."""
    count, height, width, channels = plane.shape
    blocks = plane.reshape(count, height // 8, 8, width // 8, 8, channels)
    dct = _dct()
    coefficients = jnp.einsum("ui,vj,bhiwjc->bhuwvc", dct, dct, blocks)
    divisors = table[:, None, :, None]
    kept = _rounded(coefficients / divisors) * divisors
    return jnp.einsum("ui,vj,bhuwvc->bhiwjc", dct, dct, kept).reshape(plane.shape)


def _dct() -> np.ndarray:
    """[8 frequencies, 8 places], orthonormal DCT-II."""
    rows = np.cos(np.pi * np.outer(np.arange(8), np.arange(8) + 0.5) / 8) / 2
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


def _rounded(x: jax.Array) -> jax.Array:
    """The nearest integer, with the gradient of x."""
    return x + jax.lax.stop_gradient(jnp.round(x) - x)
