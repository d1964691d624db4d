"""A given picture's place in the latent space: the latent whose picture is nearest, by Adam from several starts.

    min over z of |G(z) − x|² / dims + w |z|² / (2 Z)                                                                (1)

Of a picture that is known in part, the known pixels alone count. The second term keeps z where the generator was
trained, among normal numbers of Z dimensions.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxgen.ops.rows import normal, repeated

_STEPS = 200
_RATE = 0.1  # of Adam at first; it falls to 0 along a cosine
_PRIOR = 0.002  # w


def inverted(
    made: Callable[[jax.Array], jax.Array],
    picture: jax.Array,
    known: jax.Array | None,
    starts: int,
    shape: tuple[int, ...],
    key: jax.Array,
    row: jax.Array,
) -> jax.Array:
    """[B, *shape] latents of eq. 1 for pictures x [B, H, W, C] in [-1, 1], of which the pixels `known` [B, H, W] count.

    Or for clips [B, T, H, W, C]. `made` is G, of latents [B * starts, *shape], a picture's starts one after another.
    """
    z = normal(key, row, (starts, *shape)).reshape(-1, *shape)
    counts = jnp.ones_like(picture) if known is None else known[..., None] * jnp.ones_like(picture)
    target, counts = repeated((picture, counts), starts)
    axes = tuple(range(1, picture.ndim))
    pixels = jnp.maximum(counts.sum(axis=axes), 1.0)
    adam = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))

    def distance(z: jax.Array) -> jax.Array:
        """[B * starts] of eq. 1; what lies outside of [-1, 1] is shown as its ends."""
        error = jnp.sum(counts * (jnp.clip(made(z), -1, 1) - target) ** 2, axis=axes)
        return error / pixels + _PRIOR / 2 * jnp.mean(z**2, axis=-1)

    def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[tuple[jax.Array, optax.OptState], None]:
        z, state = carry
        slope = jax.grad(lambda z: distance(z).sum())(z)
        change, state = adam.update(slope, state)
        return (z + change, state), None

    (z, _), _ = jax.lax.scan(step, (z, adam.init(z)), length=_STEPS)
    best = jnp.argmin(distance(z).reshape(-1, starts), axis=1)
    return jax.vmap(lambda own, number: own[number])(z.reshape(-1, starts, *shape), best)
