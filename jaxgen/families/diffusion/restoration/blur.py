"""Blur as a linear operator: circular by the Fourier transform, mirrored at the borders by the cosine transform.

A photograph's borders do not meet. Mirrored beyond them, it is the picture whose blur by a kernel that is even along
both axes the DCT-II diagonalises exactly (Martucci 1994; Ng, Chan and Tang 1999), which serves Gaussian and axis-wise
motion blur. A kernel that is not even along an axis has the circular form alone: what enters at one border left at the
other, and a restored picture is wrong within the kernel's radius of its borders.
"""
# SPDX-License-Identifier: Apache-2.0

from abc import abstractmethod

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.fft import dctn, idctn

from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.operators import OfSquares

# Gains below this part of the largest count as none, in A itself too, so that A⁺ stays its pseudo-inverse in float32.
# The blurred picture changes by at most that part of the picture's root mean square: a quarter of an 8-bit level.
_SMALLEST_GAIN = 2e-3


@struct.dataclass
class _Blur:
    """A = T⁻¹ diag(gains) T with an orthogonal transform T, for each channel of [B, H, W, C] alike.

    `kernel` [h, w], odd sides, has its centre in the middle.
    """

    kernel: jax.Array

    @abstractmethod
    def _gains(self, height: int, width: int) -> jax.Array: ...

    @abstractmethod
    def _scaled(self, gains: jax.Array, x: jax.Array) -> jax.Array: ...

    def gains(self, height: int, width: int) -> jax.Array:
        """The factor of every frequency of a picture [height, width]; 0 where it is below 2e-3 of the largest."""
        gains = self._gains(height, width)
        size = jnp.abs(gains)
        return jnp.where(size < _SMALLEST_GAIN * size.max(), 0, gains)

    def forward(self, x: jax.Array) -> jax.Array:
        """The blurred picture [B, H, W, C]."""
        return self._scaled(self.gains(*x.shape[1:3]), x)

    def adjoint(self, y: jax.Array) -> jax.Array:
        """Correlation with the kernel instead of convolution."""
        return self._scaled(self.gains(*y.shape[1:3]).conj(), y)

    def gram(self, f: OfSquares, y: jax.Array) -> jax.Array:
        """Each frequency times f(|gain|²)."""
        return self._scaled(f(jnp.abs(self.gains(*y.shape[1:3])) ** 2), y)


@struct.dataclass
class CircularBlur(_Blur):
    """Convolution with any kernel on a picture whose opposite borders meet."""

    def _gains(self, height: int, width: int) -> jax.Array:
        """[H, W/2 + 1] complex."""
        rows, columns = self.kernel.shape
        if rows > height or columns > width:
            raise UserError(f"a blur kernel of {rows} x {columns} exceeds the picture's {height} x {width}: crop it")
        padded = jnp.zeros((height, width), jnp.float32).at[:rows, :columns].set(self.kernel)
        return jnp.fft.rfft2(jnp.roll(padded, (-(rows // 2), -(columns // 2)), (0, 1)))

    def _scaled(self, gains: jax.Array, x: jax.Array) -> jax.Array:
        spectrum = jnp.fft.rfft2(x, axes=(1, 2)) * gains[..., None]
        return jnp.fft.irfft2(spectrum, s=x.shape[1:3], axes=(1, 2))


@struct.dataclass
class MirrorBlur(_Blur):
    """Convolution with a kernel even along both axes, on a picture mirrored at its borders (edge pixels repeated)."""

    def _gains(self, height: int, width: int) -> jax.Array:
        """[H, W] real: sum over the kernel's places i, j of k_ij cos(π m i / H) cos(π n j / W)."""
        return _cosines(height, self.kernel.shape[0]) @ self.kernel @ _cosines(width, self.kernel.shape[1]).T

    def _scaled(self, gains: jax.Array, x: jax.Array) -> jax.Array:
        return idctn(dctn(x, axes=(1, 2), norm="ortho") * gains[..., None], axes=(1, 2), norm="ortho")


def _cosines(size: int, length: int) -> jax.Array:
    """[size, length]: cos(π m i / size) for the frequencies m and the places i around a kernel's centre."""
    places = np.arange(length) - length // 2
    return jnp.asarray(np.cos(np.pi * np.outer(np.arange(size), places) / size), jnp.float32)


def blur(kernel: np.ndarray) -> MirrorBlur | CircularBlur:
    """The operator of a kernel [h, w] of odd sides: mirrored borders where the kernel is even along both axes."""
    if kernel.ndim != 2 or not kernel.shape[0] % 2 or not kernel.shape[1] % 2:
        raise UserError(f"a blur kernel has two odd sides, this one is {kernel.shape}: pad it with zeros")
    even = np.allclose(kernel, kernel[::-1]) and np.allclose(kernel, kernel[:, ::-1])
    return (MirrorBlur if even else CircularBlur)(jnp.asarray(kernel, jnp.float32))


def gaussian_kernel(deviation: float) -> np.ndarray:
    """[2 r + 1, 2 r + 1] of sum 1, r = ⌈3 deviation⌉ pixels."""
    places = np.arange(-int(np.ceil(3 * deviation)), int(np.ceil(3 * deviation)) + 1)
    one = np.exp(-0.5 * (places / deviation) ** 2)
    kernel = np.outer(one, one)
    return (kernel / kernel.sum()).astype(np.float32)


def motion_kernel(length: int, degrees: float) -> np.ndarray:
    """[l, l] of sum 1, l = `length` made odd: a straight line of that length, counter-clockwise from horizontal.

    256 points of the line each share their weight among the four nearest pixels.
    """
    size = length + 1 - length % 2
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 256)
    rows = size // 2 - along * np.sin(np.deg2rad(degrees))
    columns = size // 2 + along * np.cos(np.deg2rad(degrees))
    kernel = np.zeros((size + 1, size + 1))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - (rows - top)) * np.abs(1 - right - (columns - left))
            np.add.at(kernel, (top + down, left + right), share)
    return (kernel[:size, :size] / kernel[:size, :size].sum()).astype(np.float32)
