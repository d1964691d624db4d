"""Convolutions of pictures whose gradients a compiled loop does not slow down, on CPUs too."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp


@jax.custom_vjp
def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B, H, W, O]: x [B, H, W, I] convolved with a kernel [odd, odd, I, O], steps of 1, zeros around the borders.

    It is `lax.conv_general_dilated`, whose own gradients XLA's CPU backend runs many times slower inside a loop than
    outside: kernels there are not brought into the order that its fast routine takes. Reverse mode alone, of any order.
    """
    return _convolved(x, kernel)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolution(x, kernel), (x, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    back = convolution(slope, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return back, jax.lax.platform_dependent(x, slope, kernel, cpu=_by_products, default=_by_convolution)


def _by_products(x: jax.Array, slope: jax.Array, kernel: jax.Array) -> jax.Array:
    """The kernel's gradient: for each of its places, the shifted pictures' features times the slopes."""
    down, across, features, _ = kernel.shape
    _, height, width, _ = x.shape
    around = jnp.pad(x, ((0, 0), (down // 2, down // 2), (across // 2, across // 2), (0, 0)))
    slopes = slope.reshape(-1, slope.shape[-1])

    def of(row: int, column: int) -> jax.Array:
        shifted = around[:, row : row + height, column : column + width].reshape(-1, features)
        return jnp.matmul(shifted.T, slopes, preferred_element_type=jnp.float32).astype(kernel.dtype)

    return jnp.stack([jnp.stack([of(row, column) for column in range(across)]) for row in range(down)])


def _by_convolution(x: jax.Array, slope: jax.Array, kernel: jax.Array) -> jax.Array:
    """The kernel's gradient as JAX has it: a convolution, which accelerators have fast routines for."""
    return jax.vjp(lambda kernel: _convolved(x, kernel), kernel)[1](slope)[0]


def _convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


convolution.defvjp(_forward, _backward)
