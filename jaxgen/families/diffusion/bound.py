"""The variational bound on a picture's likelihood in continuous time (arXiv 2107.00630), for integer levels."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.ops.rows import normal, uniform

Denoise = Callable[[jax.Array, jax.Array], jax.Array]  # x [B, H, W, C], σ [B] -> [B, H, W, C]
LevelLogProb = Callable[[jax.Array, jax.Array], jax.Array]  # x, σ -> [B, H, W, C, levels] nats


def negative_bound(
    denoise: Denoise,
    level_log_prob: LevelLogProb,
    clean: jax.Array,
    level: jax.Array,
    sigma_min: float,
    sigma_max: float,
    draws: int,
    key: jax.Array,
    row: jax.Array,
) -> jax.Array:
    """[B] nats whose expectation over the noise is at least -log p(picture): prior, diffusion, reconstruction (eq. 11).

    `clean` [B, H, W, C] are the pictures in [-1, 1], `level` [B, H, W, C] the same as integers. `draws` noise levels a
    picture estimate the integral; `denoise` gets B * draws pictures, a row's draws one after another.
    """
    diffusion_key, reconstruction_key = jax.random.split(key)
    noisy = clean + sigma_min * normal(reconstruction_key, row, clean.shape[1:])
    # KL of N(x, σ_max²) from N(0, σ_max²)
    prior = (clean**2 / (2 * sigma_max**2)).reshape(len(clean), -1).sum(axis=1)
    ends = reconstruction(level_log_prob, noisy, level, sigma_min) + prior
    return ends + _diffusion(denoise, clean, math.log(sigma_min), math.log(sigma_max), draws, diffusion_key, row)


def reconstruction(level_log_prob: LevelLogProb, noisy: jax.Array, level: jax.Array, sigma_min: float) -> jax.Array:
    """[B] nats: -log P(level [B, H, W, C] | noisy), each pixel on its own, under noise of sigma_min."""
    log_prob = level_log_prob(noisy, jnp.full(len(noisy), sigma_min, jnp.float32))
    own = -jnp.take_along_axis(log_prob, level[..., None].astype(jnp.int32), axis=-1)
    return own.reshape(len(noisy), -1).sum(axis=1)


def _diffusion(
    denoise: Denoise, clean: jax.Array, low: float, high: float, draws: int, key: jax.Array, row: jax.Array
) -> jax.Array:
    """[B] nats: ½ ∫ |x - D|² dSNR (eq. 15) with SNR = 1/σ², which is ∫ |x - D|²/σ² d(ln σ) from `low` to `high`."""
    level_key, noise_key = jax.random.split(key)
    stratum = jnp.arange(draws, dtype=jnp.float32)
    share = (stratum + uniform(level_key, row, (1,))) / draws  # [B, draws], one in each stratum
    σ = jnp.exp(low + share * (high - low)).reshape(-1)[:, None, None, None]  # [B * draws, 1, 1, 1]
    ε = normal(noise_key, row, (draws, *clean.shape[1:])).reshape(-1, *clean.shape[1:])
    x = jnp.repeat(clean, draws, axis=0)
    error = ((x - denoise(x + σ * ε, σ[:, 0, 0, 0])) / σ) ** 2
    return (high - low) * error.reshape(len(clean), draws, -1).sum(axis=2).mean(axis=1)
