"""Vocal tract length perturbation (Jaitly and Hinton, 2013): a voice's frequencies stretched, as of another one."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import jax
import jax.numpy as jnp

_EDGE = 0.8  # of the highest frequency: below it all are stretched alike (F_hi of the paper over half the rate)


def stretched(hertz: jax.Array, factor: jax.Array, top: float) -> jax.Array:
    """[B, M] where each of the frequencies `hertz` [M] up to `top` goes under each of `factor` [B].

    The paper's map (section 3): f times the factor up to an edge, and from there in a straight line to `top`, which
    stays.
    """
    factor = factor[:, None]
    edge = _EDGE * top * jnp.minimum(factor, 1) / factor
    above = top - (top - edge * factor) / (top - edge) * (top - hertz)
    return jnp.where(hertz <= edge, hertz * factor, above)


def with_stretched_voice(features: jax.Array, factor: jax.Array, centres: Sequence[float], top: float) -> jax.Array:
    """[B, F, M] features of filters around the frequencies `centres`, each row's heard at those times `factor` [B].

    Between two filters it lies in a straight line; beyond the first and the last one are they.
    """
    hertz, number = jnp.asarray(centres, features.dtype), jnp.arange(len(centres), dtype=features.dtype)
    place = jnp.interp(stretched(hertz, factor, top), hertz, number)  # [B, M], in filters
    weights = jnp.maximum(0, 1 - jnp.abs(place[:, :, None] - number))  # [B, M, M]
    return jnp.einsum("bfm,bnm->bfn", features, weights)
