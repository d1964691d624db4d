"""Noise sigmas of diffusion: EDM's preconditioning, weights and schedule, and the Gaussian steps between two sigmas."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.ops.rows import normal


class Preconditioning(NamedTuple):
    """The scalings of D(x, σ) = c_skip x + c_out F(c_in x, c_noise), each [B]."""

    c_skip: jax.Array
    c_out: jax.Array
    c_in: jax.Array
    c_noise: jax.Array


def preconditioning(σ: jax.Array, σ_data: float) -> Preconditioning:
    """Table 1, arXiv 2206.00364, column "Ours": what F reads and what it is to answer have variance 1 at every σ.

    `σ` is the noise's standard deviation and `σ_data` that of the data around 0, in the data's own units.
    """
    total = jnp.sqrt(σ**2 + σ_data**2)
    return Preconditioning(σ_data**2 / total**2, σ * σ_data / total, 1 / total, jnp.log(σ) / 4)


def loss_weight(σ: jax.Array, σ_data: float) -> jax.Array:
    """λ(σ) = 1 / c_out², so that every level weighs alike at first (table 1, arXiv 2206.00364)."""
    return (σ**2 + σ_data**2) / (σ * σ_data) ** 2


def draw_sigmas(key: jax.Array, row: jax.Array, p_mean: float, p_std: float) -> jax.Array:
    """[B] sigmas σ to train at, ln σ ~ N(P_mean, P_std²) (table 1, arXiv 2206.00364), each row its own."""
    return jnp.exp(p_mean + p_std * normal(key, row, ()))


def schedule(steps: int, σ_min: float, σ_max: float, ρ: float = 7.0) -> jax.Array:
    """[steps] sigmas from σ_max down to σ_min, denser where they are small (eq. 5, arXiv 2206.00364; `steps` >= 2)."""
    share = jnp.arange(steps, dtype=jnp.float32) / (steps - 1)
    sigmas = (σ_max ** (1 / ρ) + share * (σ_min ** (1 / ρ) - σ_max ** (1 / ρ))) ** ρ
    return sigmas.at[0].set(σ_max).at[-1].set(σ_min)


def bridge(x: jax.Array, clean: jax.Array, σ: jax.Array, σ_next: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of x at level σ_next < σ, when it is `x` at σ and `clean` without noise.

    The Gaussian q(z_s | z_t, x) of arXiv 2107.00630 (eq. 25 to 28) for noise that is added and not mixed in: α = 1.
    `σ` and `σ_next` broadcast against `x`.
    """
    kept = (σ_next / σ) ** 2
    return clean + kept * (x - clean), σ_next * jnp.sqrt(1 - kept)


def normal_log_prob(x: jax.Array, mean: jax.Array, deviation: jax.Array) -> jax.Array:
    """[B] nats: log N(x; mean, deviation²), summed over all axes but the first; `deviation` broadcasts against x."""
    terms = -0.5 * ((x - mean) / deviation) ** 2 - jnp.log(deviation) - 0.5 * math.log(2 * math.pi)
    return terms.reshape(len(x), -1).sum(axis=1)
