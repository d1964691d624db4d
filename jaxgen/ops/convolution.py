"""Convolutions of pictures whose gradients a compiled loop does not slow down, on CPUs too."""
# SPDX-License-Identifier: Apache-2.0

import math

import jax
import jax.numpy as jnp

_CACHE = 2 * 2**20  # bytes of shifted copies: of 1, 2, 4 and 8 MB the fastest in a U-Net on an AMD EPYC


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
    return jax.lax.platform_dependent(*kept, slope, cpu=_on_cpu, default=_elsewhere)


def _elsewhere(x: jax.Array, kernel: jax.Array, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients of x and of the kernel, both as convolutions, which accelerators have fast routines for."""
    return _of_pictures(kernel, slope), jax.vjp(lambda kernel: _convolved(x, kernel), kernel)[1](slope)[0]


def _on_cpu(x: jax.Array, kernel: jax.Array, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same, the kernel's by products."""
    slope = _once(slope)
    if kernel.shape[2] >= kernel.shape[3]:
        of_kernel = _products(x, slope, kernel.shape[:2]).transpose(1, 2, 0, 3)
    else:
        of_kernel = jnp.flip(_products(slope, x, kernel.shape[:2]), (1, 2)).transpose(1, 2, 3, 0)
    return _of_pictures(kernel, slope), of_kernel.astype(kernel.dtype)


def _of_pictures(kernel: jax.Array, slope: jax.Array) -> jax.Array:
    return convolution(slope, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))


def _products(still: jax.Array, moved: jax.Array, places: tuple[int, int]) -> jax.Array:
    """[C, *places, D]: the sum over pixels of `still` [B, H, W, C] times `moved` [B, H, W, D], shifted to each place.

    One product for a few pictures at a time, whose shifted copies stay in a processor's cache. They are copies of
    `moved`, which is best the one with fewer features.
    """
    size = math.prod(places) * math.prod(moved.shape[1:]) * moved.dtype.itemsize
    count = max(n for n in range(1, len(moved) + 1) if len(moved) % n == 0 and (n == 1 or n * size <= _CACHE))

    def add(total: jax.Array, few: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rows, columns = (a.reshape(-1, a.shape[-1]) for a in (few[0], _shifted(few[1], places)))
        return total + jnp.matmul(rows.T, columns, preferred_element_type=jnp.float32), None

    zeros = jnp.zeros((still.shape[-1], math.prod(places) * moved.shape[-1]), jnp.float32)
    total, _ = jax.lax.scan(add, zeros, tuple(a.reshape(-1, count, *a.shape[1:]) for a in (still, moved)))
    return total.reshape(-1, *places, moved.shape[-1])


def _shifted(a: jax.Array, places: tuple[int, int]) -> jax.Array:
    """[B, H, W, product of `places` * C]: copy (i, j) of `a` is moved down by places[0] // 2 - i, across likewise."""
    (down, across), (_, height, width, _) = places, a.shape
    around = jnp.pad(a, ((0, 0), (down // 2, down // 2), (across // 2, across // 2), (0, 0)))
    corners = [(i, j) for i in reversed(range(down)) for j in reversed(range(across))]
    return jnp.concatenate([around[:, i : i + height, j : j + width] for i, j in corners], axis=-1)


@jax.custom_vjp
def _once(x: jax.Array) -> jax.Array:
    """x as it is, written to memory. Else XLA computes it again in each operation that reads it.

    XLA's CPU backend drops `optimization_barrier` before it fuses operations, but does not fuse through a loop: this
    one makes no pass, as no count of leading zeros is negative, which XLA cannot know.
    """
    never = jax.lax.clz(jax.lax.bitcast_convert_type(x.ravel()[0].astype(jnp.float32), jnp.int32))
    return jax.lax.while_loop(lambda loop: loop[0] < 0, lambda loop: (loop[0] + 1, -loop[1]), (never, x))[1]


_once.defvjp(lambda x: (_once(x), None), lambda _, slope: (_once(slope),))


def _convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


convolution.defvjp(_forward, _backward)
