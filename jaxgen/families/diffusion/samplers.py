"""From noise to pictures: Heun's method along the probability flow, and ancestral steps that have a density each.

A denoiser is D(x [B, H, W, C], σ [B]) -> [B, H, W, C]; both samplers know nothing else of the network.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.ops.noise import bridge, normal_log_prob
from jaxgen.ops.rows import normal

Denoise = Callable[[jax.Array, jax.Array], jax.Array]


def heun(denoise: Denoise, x: jax.Array, sigmas: jax.Array) -> jax.Array:
    """The pictures [B, H, W, C] where the flow leads from `x`, noisy at sigmas[0] (algorithm 1, arXiv 2206.00364).

    `sigmas` [N] fall to a smallest one above 0, whence Euler's step to 0 is D itself: 2 N - 1 evaluations of D.
    """
    size = len(x)

    def slope(x: jax.Array, σ: jax.Array) -> jax.Array:
        return (x - denoise(x, jnp.full(size, σ, jnp.float32))) / σ  # eq. 3 with σ(t) = t

    def step(x: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        σ, σ_next = pair
        first = slope(x, σ)
        second = slope(x + (σ_next - σ) * first, σ_next)
        return x + (σ_next - σ) * (first + second) / 2, None

    x, _ = jax.lax.scan(step, x, (sigmas[:-1], sigmas[1:]))
    return denoise(x, jnp.full(size, sigmas[-1], jnp.float32))


def ancestral(
    denoise: Denoise, x: jax.Array, sigmas: jax.Array, last: float, key: jax.Array, row: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """All states [B, T+1, H, W, C] from `x`, noisy at sigmas[0], and each action's log-probability [B, T] nats.

    A action draws the next state from the posterior q(x_next | x, D(x, σ)) (eq. 25, arXiv 2107.00630); the last one,
    from sigmas[T-1], draws from N(D(x, σ), last²), so that it has a density too. x_0 is no action.
    """

    def step(x: jax.Array, number: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        mean, deviation = _action(denoise, x, number, sigmas, last)
        drawn = mean + deviation * normal(jax.random.fold_in(key, number), row, x.shape[1:])
        return drawn, (drawn, normal_log_prob(drawn, mean, deviation))

    _, (states, log_prob) = jax.lax.scan(step, x, jnp.arange(len(sigmas)))
    states = jnp.concatenate([x[None], states])  # [T+1, B, H, W, C]
    return jnp.moveaxis(states, 0, 1), log_prob.T


def ancestral_log_prob(denoise: Denoise, states: jax.Array, sigmas: jax.Array, last: float) -> jax.Array:
    """[B, T] nats: the log-probability of each of `ancestral`'s actions, T calls of the denoiser.

    One call of B * T pictures would do, at T times the memory.
    """

    def one(_: None, action: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        number, before, after = action
        mean, deviation = _action(denoise, before, number, sigmas, last)
        return None, normal_log_prob(after, mean, deviation)

    states = jnp.moveaxis(states, 1, 0)  # [T+1, B, H, W, C]
    _, log_prob = jax.lax.scan(one, None, (jnp.arange(len(sigmas)), states[:-1], states[1:]))
    return log_prob.T


def _action(
    denoise: Denoise, x: jax.Array, number: jax.Array, sigmas: jax.Array, last: float
) -> tuple[jax.Array, jax.Array]:
    """Mean [B, H, W, C] and standard deviation of action `number` from `x` [B, H, W, C]."""
    is_last = number == len(sigmas) - 1
    clean = denoise(x, jnp.full(len(x), sigmas[number], jnp.float32))
    # the last posterior, of no noise at all, is `clean` itself
    mean, deviation = bridge(x, clean, sigmas[number], jnp.where(is_last, 0.0, sigmas[number + 1]))
    return mean, jnp.where(is_last, last, deviation)
