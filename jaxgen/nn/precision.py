"""The numbers that a network computes with: float32, or half as many bits for products and what is between them."""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


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
    def product(self) -> Callable[..., jax.Array]:
        """The `dot_general` of the last, float32 Dense layer: it multiplies in this precision and rounds nothing.

        Rounded to bfloat16 a picture's levels near 1 would be half a level of 256 apart.
        """
        return _half_product if self is Precision.BFLOAT16 else jax.lax.dot_general


def _half_product(left: jax.Array, right: jax.Array, dimensions: Any, precision: Any = None) -> jax.Array:
    return _summed_in_float32(left, right, dimensions)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _summed_in_float32(left: jax.Array, right: jax.Array, dimensions: Any) -> jax.Array:
    """The product of float32 arrays as bfloat16, float32; its gradient's products are of bfloat16 too."""
    halves = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    return jax.lax.dot_general(*halves, dimensions, preferred_element_type=jnp.float32)


def _forward(left: jax.Array, right: jax.Array, dimensions: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _summed_in_float32(left, right, dimensions), (left.astype(jnp.bfloat16), right.astype(jnp.bfloat16))


def _backward(dimensions: Any, saved: tuple[jax.Array, jax.Array], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, pull = jax.vjp(lambda left, right: jax.lax.dot_general(left, right, dimensions), *saved)
    return tuple(part.astype(jnp.float32) for part in pull(cotangent.astype(jnp.bfloat16)))


_summed_in_float32.defvjp(_forward, _backward)
