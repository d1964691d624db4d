"""Pictures of which a part is known, completed by a VAE: a Markov chain between a picture and its latents.

    z ~ q(z | x),   x_unknown ~ p(x | z),   x_known stays            (arXiv 1401.4082, appendix F)

It comes close to p(x_unknown | x_known) from any start, as far as q is the posterior.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.ops.distributions import PixelDistribution
from jaxgen.ops.rows import row_keys
from jaxgen.types import Key

_ROUNDS = 64  # of the chain

Reconstruct = Callable[[jax.Array, Key], PixelDistribution]  # of x [B, H, W, C]: p(picture | z), z drawn from q(z | x)


def completed(
    reconstruct: Reconstruct,
    start: jax.Array,
    picture: jax.Array,
    known: jax.Array,
    levels: int,
    key: Key,
    row: jax.Array,
) -> jax.Array:
    """[B, H, W, C] float levels: `picture` where `known` [B, H, W], and the mean under the chain's last latents."""
    known, picture = known[..., None], picture.astype(jnp.float32)

    def again(x: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        latent_key, pixel_key = jax.random.split(jax.random.fold_in(key, number))
        likelihood, keys = reconstruct(x, latent_key), row_keys(pixel_key, row)
        drawn = jax.vmap(lambda pixels, one: pixels.draw(one, levels))(likelihood, keys)
        return jnp.where(known, picture, drawn), None

    x, _ = jax.lax.scan(again, jnp.where(known, picture, start), jnp.arange(_ROUNDS))
    return jnp.where(known, picture, reconstruct(x, jax.random.fold_in(key, _ROUNDS)).levels_mean(levels))
