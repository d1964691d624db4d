"""Between points of a latent space: along the great circle that normal numbers lie near, in place of through it."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

_PARALLEL = 1e-3  # radians below which the straight line is the circle


def spherical(a: jax.Array, b: jax.Array, share: jax.Array) -> jax.Array:
    """[N, ...] from `a` at share [N] 0 to `b` at 1: sin((1 − t) ω) / sin ω a + sin(t ω) / sin ω b, ω the angle between.

    Of vectors of one length the length stays; where they point the same way, or opposite ones, or where one is zero, it
    is a straight line.
    """
    flat_a, flat_b, t = a.reshape(len(a), -1), b.reshape(len(b), -1), share[:, None]
    lengths = jnp.linalg.norm(flat_a, axis=1) * jnp.linalg.norm(flat_b, axis=1)
    cosine = jnp.sum(flat_a * flat_b, axis=1) / jnp.maximum(lengths, 1e-30)
    ω = jnp.arccos(jnp.clip(cosine, -1, 1))[:, None]
    straight = (ω < _PARALLEL) | (ω > jnp.pi - _PARALLEL) | (lengths == 0)[:, None]
    ω = jnp.where(straight, 1.0, ω)
    of_a = jnp.where(straight, 1 - t, jnp.sin((1 - t) * ω) / jnp.sin(ω))
    of_b = jnp.where(straight, t, jnp.sin(t * ω) / jnp.sin(ω))
    return (of_a * flat_a + of_b * flat_b).reshape(a.shape)
