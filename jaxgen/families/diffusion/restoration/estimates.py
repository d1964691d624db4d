"""What damaged a picture, estimated from the picture alone: noise, blur, fading and thin scratches.

Pictures are [B, H, W, C] in [-1, 1]; each estimate is a pure function, one answer a row.
"""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import struct

from jaxgen.families.diffusion.restoration.blur import gaussian_kernel

_MEDIAN_OF_NORMAL = 0.6745  # of |z|, z standard normal
_LEVEL = 2 / 255  # of an 8-bit picture


def noise_deviation(x: jax.Array) -> jax.Array:
    """[B]: the standard deviation of white noise, by the median size of the finest diagonal Haar wavelets.

    Donoho and Johnstone 1994. The picture's own texture counts as noise, clipped noise counts for less.
    """
    even = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    diagonal = (even[:, ::2, ::2] - even[:, 1::2, ::2] - even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 2
    return jnp.median(jnp.abs(diagonal).reshape(len(x), -1), axis=1) / _MEDIAN_OF_NORMAL


def blur_deviation(x: jax.Array, again: float = 1.0, strongest: float = 0.02) -> jax.Array:
    """[B] pixels: the deviation of a Gaussian blur, by what blurring once more does to the steepest edges.

    An edge of slope ∝ 1/σ becomes one of 1/√(σ² + again²), so with R the ratio of the slopes σ² = again² / (R² - 1)
    (Zhuo and Sim 2011). It is the median over the `strongest` part of the pixels, and takes a picture to have sharp
    edges without its blur. Central differences blur as well: a perfect step is told as 0.6 to 0.9.
    """
    grey = x.mean(axis=3)
    slope, blurred = _slope(grey), _slope(_blurred(grey, again))
    inside = (slice(None), slice(3, -3), slice(3, -3))  # the border's mirror flattens slopes
    slope, blurred = slope[inside].reshape(len(x), -1), blurred[inside].reshape(len(x), -1)
    _, best = jax.lax.top_k(slope, max(1, int(strongest * slope.shape[1])))
    ratio = jnp.take_along_axis(slope, best, 1) / jnp.maximum(jnp.take_along_axis(blurred, best, 1), 1e-6)
    return again / jnp.sqrt(jnp.maximum(jnp.median(ratio, axis=1) ** 2 - 1, 1e-6))


@struct.dataclass
class Fade:
    """Contrast lost and a colour cast: y = gain x + offset for each channel, `gain` and `offset` [B or 1, 1, 1, C]."""

    gain: jax.Array
    offset: jax.Array

    def forward(self, x: jax.Array) -> jax.Array:
        """The faded picture."""
        return self.gain * x + self.offset

    def undone(self, y: jax.Array) -> jax.Array:
        """The picture before it faded; its noise grows by 1/gain."""
        return (y - self.offset) / self.gain


def fade(x: jax.Array, ignored: float = 0.005) -> Fade:
    """The fading that brings each channel's darkest and lightest pixels to -1 and 1 when it is undone.

    The `ignored` part of the pixels at both ends may lie beyond, and those that are no numbers do not count. A picture
    without black or white in truth is told as faded; a channel of one level (2/255) but for those is taken as it is.
    """
    flat = x.reshape(len(x), -1, x.shape[3])
    low, high = jnp.nanquantile(flat, jnp.asarray([ignored, 1 - ignored]), axis=1)[:, :, None, None]
    has_contrast = high - low > 1.5 * _LEVEL
    return Fade(jnp.where(has_contrast, (high - low) / 2, 1.0), jnp.where(has_contrast, (high + low) / 2, 0.0))


def scratches(x: jax.Array, width: int = 3, threshold: float = 0.25, length: int = 20) -> jax.Array:
    """[B, H, W, 1], 1 where a picture is to be kept and 0 on thin lines lighter or darker than both of their sides.

    A pixel is a scratch's where it differs by more than `threshold`, and in one direction, from the median of a line
    of 2 `width` + 1 pixels across it (along rows or columns), and so do on average the pixels of a straight line of
    `length` through it, along a row, a column or a diagonal; those beside it go with it. Without the second condition
    a third of a photograph with much texture is taken for scratches. Thin straight things of the picture itself
    (masts, letters) still are.
    """
    grey = x.mean(axis=3)
    found = jnp.zeros(grey.shape, bool)
    for axis, along in ((1, ((0, 1), (1, 1), (1, -1))), (2, ((1, 0), (1, 1), (1, -1)))):
        pads = [(0, 0)] * 3
        pads[axis] = (width, width)
        padded = jnp.pad(grey, pads, mode="edge")
        line = jnp.stack(
            [jax.lax.slice_in_dim(padded, k, k + grey.shape[axis], axis=axis) for k in range(2 * width + 1)]
        )
        off = grey - jnp.median(line, axis=0)
        for sign in (1, -1):
            for step in along:
                found |= (sign * off > threshold) & (_best_line(sign * off, step, length) > threshold)
    wider = jax.lax.reduce_window(found, False, jax.lax.bitwise_or, (1, 3, 3), (1, 1, 1), "SAME")
    return 1.0 - wider[..., None].astype(jnp.float32)


def _best_line(off: jax.Array, step: tuple[int, int], length: int) -> jax.Array:
    """[B, H, W]: the largest of the means over lines of `length` pixels that begin, end or have their middle here."""
    (down, right), (height, width) = step, off.shape[1:]
    padded = jnp.pad(off, ((0, 0), (length, length), (length, length)))  # beyond the borders nothing is scratched

    def mean(first: int) -> jax.Array:
        starts = [(length + (first + k) * down, length + (first + k) * right) for k in range(length)]
        return sum(padded[:, top : top + height, left : left + width] for top, left in starts) / length

    return jnp.maximum(jnp.maximum(mean(0), mean(1 - length)), mean(-(length // 2)))


def _blurred(grey: jax.Array, deviation: float) -> jax.Array:
    """[B, H, W] under a Gaussian, borders mirrored."""
    kernel = gaussian_kernel(deviation)
    one = jnp.asarray(kernel.sum(axis=0))
    reach = len(one) // 2
    padded = jnp.pad(grey, ((0, 0), (reach, reach), (reach, reach)), mode="symmetric")
    return jax.vmap(lambda picture: jax.scipy.signal.convolve2d(picture, jnp.outer(one, one), mode="valid"))(padded)


def _slope(grey: jax.Array) -> jax.Array:
    """[B, H, W]: the gradient's size by central differences."""
    down, right = jnp.gradient(grey, axis=(1, 2))
    return jnp.sqrt(down**2 + right**2)
