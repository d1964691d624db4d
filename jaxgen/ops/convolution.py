"""Convolutions of pictures whose gradients a compiled loop does not slow down, on CPUs too."""
# SPDX-License-Identifier: Apache-2.0

import functools
import math

import jax
import jax.numpy as jnp

from jaxgen.ops.stored import stored

_CACHE = 2 * 2**20  # bytes of shifted copies at a time: the fastest in a U-Net on an AMD EPYC of 1, 2, 4 and 8 MB


@jax.custom_vjp
def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """[B, H, W, O]: x [B, H, W, I] convolved with a kernel [odd, odd, I, O], steps of 1, zeros around the borders.

    It is `lax.conv_general_dilated`, whose own gradients XLA's CPU backend runs many times slower inside a loop than
    outside: kernels there are not brought into the order that its fast routine takes. Reverse mode alone, of any order.
    """
    return _convolved(x, kernel)


def grouped_convolution(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    """[B, H, W, O]: the channels of x [B, H, W, I] in `groups` equal parts, each convolved to a part of O by itself.

    `kernel` is [odd, odd, I / groups, O], as `lax.conv_general_dilated` takes it, which accelerators run. On a CPU it
    is laid out as a kernel [odd, odd, I, O] with zeros between the groups: XLA's grouped gradients are far slower there
    (12 and 36 times as slow as dense ones for 4 and 16 groups: `jaxgen bench grouped_convolutions`).
    """
    dense, native = (functools.partial(each, groups=groups) for each in (_between_zeros, _convolved))
    return jax.lax.platform_dependent(x, kernel, cpu=dense, default=native)


def _between_zeros(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    own, out = kernel.shape[2:]
    same = jnp.arange(own * groups)[:, None] // own == jnp.arange(out) // (out // groups)
    return convolution(x, jnp.where(same, jnp.tile(kernel, (1, 1, groups, 1)), 0))


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolution(x, kernel), (x, kernel)


def _backward(kept: tuple[jax.Array, jax.Array], slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    slope = stored(slope, kernel)
    return convolution(slope, _turned(kernel)), _of_kernel(x, slope, kernel.shape[:2])


def _turned(kernel: jax.Array) -> jax.Array:
    """The kernel [down, across, O, I] that carries slopes back to the pictures."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _of_kernel(x: jax.Array, slope: jax.Array, places: tuple[int, int]) -> jax.Array:
    """[*places, I, O]: the gradient of a kernel. It is linear in x and in the slope, so convolutions are its own."""
    on_cpu, elsewhere = (functools.partial(each, places=places) for each in (_by_products, _by_convolution))
    return jax.lax.platform_dependent(x, slope, cpu=on_cpu, default=elsewhere)


_of_kernel.defvjp(
    lambda x, slope, places: (_of_kernel(x, slope, places), (x, slope)),
    lambda _, kept, kernel: (convolution(kept[1], _turned(kernel)), convolution(kept[0], kernel)),
)


def _by_convolution(x: jax.Array, slope: jax.Array, places: tuple[int, int]) -> jax.Array:
    """As JAX has it: a convolution, which accelerators have fast routines for."""
    kernel = jnp.zeros((*places, x.shape[-1], slope.shape[-1]), x.dtype)
    return jax.vjp(lambda kernel: _convolved(x, kernel), kernel)[1](slope)[0]


def _by_products(x: jax.Array, slope: jax.Array, places: tuple[int, int]) -> jax.Array:
    """The features times slopes that are shifted to each place, or the other way round: the narrower are shifted."""
    if x.shape[-1] >= slope.shape[-1]:
        return _products(x, slope, places).transpose(1, 2, 0, 3).astype(x.dtype)
    return jnp.flip(_products(slope, x, places), (1, 2)).transpose(1, 2, 3, 0).astype(x.dtype)


def _products(still: jax.Array, moved: jax.Array, places: tuple[int, int]) -> jax.Array:
    """[C, *places, D]: the sum over pixels of `still` [B, H, W, C] times `moved` [B, H, W, D] shifted to each place.

    A few lines of all pictures at a time, so that the shifted copies stay in a processor's cache. Not a few pictures:
    they may lie on several devices. Each device's are summed by themselves, or a reduction would follow each product.
    """
    (down, across), (size, height, width, _) = places, moved.shape
    line = down * across * size * width * moved.shape[-1] * moved.dtype.itemsize
    lines = max(n for n in range(1, height + 1) if height % n == 0 and (n == 1 or n * line <= _CACHE))
    around = jnp.pad(moved, ((0, 0), (down // 2, down // 2), (across // 2, across // 2), (0, 0)))
    corners = [(i, j) for i in reversed(range(down)) for j in reversed(range(across))]

    def add(total: jax.Array, first: jax.Array) -> tuple[jax.Array, None]:
        near = jax.lax.dynamic_slice_in_dim(around, first, lines + down - 1, axis=1)
        copies = jnp.concatenate([near[:, i : i + lines, j : j + width] for i, j in corners], axis=-1)
        rows = jax.lax.dynamic_slice_in_dim(still, first, lines, axis=1)
        rows, copies = (a.reshape(shares, -1, a.shape[-1]) for a in (rows, copies))
        return total + jnp.matmul(rows.mT, copies, preferred_element_type=jnp.float32), None

    shares = math.gcd(size, jax.device_count())
    zeros = jnp.zeros((shares, still.shape[-1], down * across * moved.shape[-1]), jnp.float32)
    total, _ = jax.lax.scan(add, zeros, jnp.arange(0, height, lines))
    return total.sum(axis=0).reshape(-1, down, across, moved.shape[-1])


def _convolved(x: jax.Array, kernel: jax.Array, groups: int = 1) -> jax.Array:
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=order, feature_group_count=groups)


convolution.defvjp(_forward, _backward)
