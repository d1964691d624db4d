"""A mean that can be added to another: its total and the weight it was taken over."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Mean:
    """total / weight. The sum of two is the exact mean over both sets, however ragged: means of means stay exact."""

    total: jax.Array
    weight: jax.Array

    @classmethod
    def of(cls, values: jax.Array, weights: jax.Array | None = None) -> "Mean":
        """The mean over all elements of `values`; `weights` broadcasts against them (0 leaves an element out)."""
        values = jnp.asarray(values, jnp.float32)
        weights = jnp.ones_like(values) if weights is None else jnp.broadcast_to(weights, values.shape)
        weights = weights.astype(jnp.float32)
        # where, not a product: a row that is left out may hold an infinity or a NaN (its gradient is the loss's care)
        return cls(jnp.sum(jnp.where(weights == 0, 0.0, values * weights)), jnp.sum(weights))

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self) -> jax.Array:
        """total / weight; NaN when nothing was weighed."""
        return self.total / self.weight
