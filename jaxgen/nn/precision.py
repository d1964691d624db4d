"""The numbers that a network computes with: float32, or half as many bits for products and what is between them."""
# SPDX-License-Identifier: Apache-2.0

import enum
from typing import Any

import jax
import jax.numpy as jnp


class Precision(enum.Enum):
    """What a network computes in (mixed precision, arXiv 1710.03740).

    bfloat16 has float32's range (arXiv 1905.12322), so that no loss is scaled.
    Either way parameters, their gradients and optimiser, norms, softmaxes, an RNN's gates and cell, what the network
    answers and every loss are float32. BFLOAT16 is for products and for the activations between them, which are what
    memory and time go to on an accelerator. Laws that speak of 1e-5 hold in FLOAT32.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"

    @property
    def dtype(self) -> jnp.dtype:
        """Of products' operands and of activations."""
        return jnp.dtype(self.value)


def to_float32(left: jax.Array, right: jax.Array, dimensions: Any, precision: Any = None) -> jax.Array:
    """`lax.dot_general` whose sums come back as they are: the `dot_general` of a Dense layer that answers.

    Rounded to bfloat16 a picture's levels near 1 would be half a level of 256 apart.
    """
    return jax.lax.dot_general(left, right, dimensions, precision=precision, preferred_element_type=jnp.float32)
