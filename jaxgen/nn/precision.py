"""The numbers that a network computes with: float32, or half as many bits for products and what is between them."""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


class Precision(enum.Enum):
    """What a network computes in (mixed precision, arXiv 1710.03740).

    bfloat16 has float32's range (arXiv 1905.12322), so that no loss is scaled.
    Either way parameters and optimiser, norms, softmaxes, an RNN's gates and cell, a network's outputs and every
    loss are float32. BFLOAT16 is for products and for the activations between them, which are what memory and time go
    to on an accelerator; a kernel's gradient is rounded to it once, when it has been summed. Laws that speak of 1e-5
    hold in FLOAT32.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"

    @property
    def dtype(self) -> jnp.dtype:
        """Of products' operands and of activations."""
        return jnp.dtype(self.value)

    @property
    def dense(self) -> Callable[..., nn.Dense]:
        """A Dense layer between others, which gives activations."""
        return functools.partial(self.output, dtype=self.dtype)

    @property
    def output(self) -> Callable[..., nn.Dense]:
        """A last Dense layer: it multiplies in this precision, and its biases and results are float32.

        Rounded to bfloat16 a picture's levels near 1 would be half a level of 256 apart.
        """
        return functools.partial(nn.Dense, dot_general=self.product)

    @property
    def product(self) -> Callable[..., jax.Array]:
        """The `dot_general` of Dense layers: [..., D] by [D, E] in this precision, given in its operands' dtype."""
        return _half_product if self is Precision.BFLOAT16 else jax.lax.dot_general


# The axes that a product of two matrices sums over: a b, a bᵀ and aᵀ b. Each one's gradients are two of them again.
_AB, _ABT, _ATB = (1, 0), (1, 1), (0, 0)


def _half_product(left: jax.Array, right: jax.Array, dimensions: Any, precision: Any = None) -> jax.Array:
    rows = left.reshape(-1, left.shape[-1])
    return _product(_AB, rows, right).reshape(*left.shape[:-1], right.shape[-1])


def _multiplied(axes: tuple[int, int], a: jax.Array, b: jax.Array) -> jax.Array:
    """The product of two matrices of one dtype as bfloat16, summed in float32 and given in that dtype.

    Sums over rows, the longest, ask for float32 by name, for a GPU may cut them into parts and round those. Activations
    do not: what is kept for a backward pass would be float32.
    """
    halves, dimensions = (a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)), (tuple((axis,) for axis in axes), ((), ()))
    dtype = jnp.float32 if axes == _ATB else a.dtype
    return jax.lax.dot_general(*halves, dimensions, preferred_element_type=dtype).astype(a.dtype)


# JAX's own rule transposes a gradient after the product. XLA for CPUs joins the two, and then sums in bfloat16 from
# jaxlib 0.11 on (a head's gradient over 2,048 rows was 31 % off) and cannot run it at all where float32 is asked for.
_product = jax.custom_vjp(_multiplied, nondiff_argnums=(0,))


def _forward(axes: tuple[int, int], a: jax.Array, b: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _multiplied(axes, a, b), (a.astype(jnp.bfloat16), b.astype(jnp.bfloat16))


def _backward(
    axes: tuple[int, int], saved: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    a, b = (half.astype(cotangent.dtype) for half in saved)
    if axes == _AB:
        return _product(_ABT, cotangent, b), _product(_ATB, a, cotangent)
    if axes == _ABT:
        return _product(_AB, cotangent, b), _product(_ATB, cotangent, a)
    return _product(_ABT, b, cotangent), _product(_AB, a, cotangent)


_product.defvjp(_forward, _backward)
