"""Numbers kept between two bounds, with a gradient that brings back those beyond them."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def bounded(x: jax.Array, low: float, high: float) -> jax.Array:
    """`x` clipped to [low, high]; beyond a bound, descent along its gradient moves `x` back and never further away.

    A clip has no gradient beyond its bounds and a sigmoid hardly any, so that a network whose outputs got there cannot
    learn them any more. For gradients in reverse mode.
    """
    return jnp.clip(x, low, high)


def _forward(x: jax.Array, low: float, high: float) -> tuple[jax.Array, jax.Array]:
    return jnp.clip(x, low, high), x


def _backward(low: float, high: float, x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    away = ((x > high) & (gradient < 0)) | ((x < low) & (gradient > 0))
    return (jnp.where(away, 0, gradient),)


bounded.defvjp(_forward, _backward)
