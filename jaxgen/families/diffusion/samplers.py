"""Samplers as tables of coefficients, one loop that follows any of them, and ancestral steps with a density each.

A denoiser is D(x [B, H, W, C], σ [B]) -> [B, H, W, C]; samplers know nothing else of the network. A sampler is a
function from the noise levels to a table of rows, an evaluation of D each. A row evaluates D at the point y and moves:

    y, x <- y + n z, x + n z                           z ~ N(0, I)                                                  (1)
    y    <- D + a (x - D) + b (y - D) + e (D_last - D)  D = D(y, σ), D_last the row's before                        (2)
    x    <- y, or is kept                               x is where the present step began                           (3)

Every method that is linear in what it has evaluated has this form, and one compiled copy of the network serves it.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.ops.noise import bridge, normal_log_prob
from jaxgen.ops.rows import normal

Denoise = Callable[[jax.Array, jax.Array], jax.Array]


class Table(NamedTuple):
    """The coefficients of eq. 1 to 3, [rows] each."""

    sigma: jax.Array  # at which D is evaluated
    start: jax.Array  # a
    point: jax.Array  # b
    last: jax.Array  # e
    keeps: jax.Array  # 1 where x is kept, 0 where it becomes y
    noise: jax.Array | None = None  # n; none: nothing is drawn


def follow(denoise: Denoise, x: jax.Array, table: Table, key: jax.Array, row: jax.Array) -> jax.Array:
    """The pictures [B, H, W, C] where `table` leads from `x`, noisy at its first sigma; one loop, no branches."""
    return followed(denoise, x, table, key, row)[0]


def followed(
    denoise: Denoise, x: jax.Array, table: Table, key: jax.Array, row: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What `follow` gives, and the points [rows, B, H, W, C] at which it evaluates D on its way there."""

    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array], entry: tuple[jax.Array, Table]
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
        (x, y, last), (number, at) = carry, entry
        if at.noise is not None:
            added = at.noise * normal(jax.random.fold_in(key, number), row, x.shape[1:])
            x, y = x + added, y + added
        point = y
        clean = denoise(y, jnp.full(len(y), at.sigma, jnp.float32))
        y = clean + at.start * (x - clean) + at.point * (y - clean) + at.last * (last - clean)
        return (jnp.where(at.keeps > 0, x, y), y, clean), point

    numbers = jnp.arange(len(table.sigma))
    (_, y, _), points = jax.lax.scan(step, (x, x, jnp.zeros_like(x)), (numbers, table))
    return y, points


def holding(denoise: Denoise, picture: jax.Array, known: jax.Array) -> tuple[Denoise, jax.Array]:
    """D where the pixels `known` [B, H, W] of `picture` [B, H, W, C] are certain, and the picture, 0 where unknown."""
    known = known[..., None]
    return lambda x, σ: jnp.where(known, picture, denoise(x, σ)), jnp.where(known, picture, 0.0)


def euler(sigmas: jax.Array) -> Table:
    """Euler's method along the probability flow dx/dσ = (x - D) / σ, to 0: as many evaluations as `sigmas`.

    The same as DDIM without noise, and as Euler's method along the straight path of flow matching.
    """
    return _single(sigmas, _following(sigmas) / sigmas)


def ddim(sigmas: jax.Array, eta: float | jax.Array) -> Table:
    """DDIM (eq. 12 and 16, arXiv 2010.02502, over s): the flow at `eta` 0, ancestral sampling (DDPM) at 1.

    Each step draws noise of eta times the posterior's standard deviation.
    """
    ratio = _following(sigmas) / sigmas
    drawn = eta * sigmas * ratio * jnp.sqrt(1 - ratio**2)
    before = jnp.concatenate([jnp.zeros(1), drawn[:-1]])  # what a step draws is added where the next row begins
    return _single(sigmas, ratio * jnp.sqrt(1 - eta**2 * (1 - ratio**2)))._replace(noise=before)


def dpm_solver_2m(sigmas: jax.Array) -> Table:
    """DPM-Solver++(2M) (algorithm 2, arXiv 2211.01095, over s): order 2 by the evaluation before.

    The first step has none, and the last, to 0, is D itself as in every implementation: both are of order 1.
    """
    ratio = _following(sigmas) / sigmas
    h = -jnp.log(ratio[:-1])  # of λ = -ln σ; the last step's is infinite
    half = jnp.concatenate([jnp.zeros(1), h[1:] / (2 * h[:-1]), jnp.zeros(1)])  # 1 / (2 r)
    return _single(sigmas, ratio)._replace(last=-(1 - ratio) * half)


def heun(sigmas: jax.Array) -> Table:
    """Heun's method along the flow (algorithm 1, arXiv 2206.00364): 2 N - 1 evaluations of D, the last alone."""
    return _heun(sigmas, sigmas, None)


def ascending(sigmas: jax.Array) -> Table:
    """Heun's method along the flow the other way, from the first of `sigmas`, the smallest, to the last."""
    return Table(*(None if column is None else column[:-1] for column in heun(sigmas)))  # no step to 0


def consistency(sigmas: jax.Array) -> Table:
    """Multistep consistency sampling (algorithm 1, arXiv 2303.01469), with its ε at 0: clean, noisy again, clean."""
    zeros = jnp.zeros_like(sigmas)
    return _single(sigmas, zeros)._replace(noise=sigmas.at[0].set(0.0))


def churn(
    sigmas: jax.Array,
    amount: float | jax.Array,
    low: float | jax.Array,
    high: float | jax.Array,
    scale: float | jax.Array,
) -> Table:
    """EDM's stochastic sampler (algorithm 2, arXiv 2206.00364): noise is added before each of Heun's steps.

    `amount` is S_churn, `low` and `high` S_tmin and S_tmax, `scale` S_noise.
    """
    γ = jnp.minimum(amount / len(sigmas), math.sqrt(2) - 1)
    γ = jnp.where((low <= sigmas) & (sigmas <= high), γ, 0.0)
    raised = sigmas * (1 + γ)
    return _heun(sigmas, raised, scale * sigmas * jnp.sqrt(γ * (2 + γ)))


def _single(sigmas: jax.Array, point: jax.Array) -> Table:
    """Steps of one evaluation each."""
    zeros = jnp.zeros_like(sigmas)
    return Table(sigmas, zeros, point, zeros, zeros)


def _heun(sigmas: jax.Array, raised: jax.Array, noise: jax.Array | None) -> Table:
    """A predictor and a corrector for each of `sigmas` but the last, from `raised` where noise was added to it.

    With r = σ_next/σ the predictor is D + r (x - D), and the corrector x + (σ_next - σ) (ε̂_1 + ε̂_2) / 2 in the form of
    eq. 2. The last row, Euler's step to 0, is D itself.
    """
    r = sigmas[1:] / raised[:-1]
    zeros, ones = jnp.zeros_like(r), jnp.ones_like(r)

    def rows(predictor: jax.Array, corrector: jax.Array, final: jax.Array) -> jax.Array:
        return jnp.append(jnp.stack([predictor, corrector], axis=1).reshape(-1), final)

    return Table(
        rows(raised[:-1], sigmas[1:], raised[-1]),
        rows(zeros, (1 + r) / 2, 0.0),
        rows(r, (1 - 1 / r) / 2, 0.0),
        rows(zeros, (1 - r) / 2, 0.0),
        rows(ones, zeros, 0.0),
        None if noise is None else rows(noise[:-1], zeros, noise[-1]),
    )


def _following(sigmas: jax.Array) -> jax.Array:
    """[N] the level after each, 0 after the last."""
    return jnp.append(sigmas[1:], 0.0)


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

    One call of B * T pictures would do, at T times the memory; the gradient computes each call again for the same
    reason.
    """

    @jax.checkpoint
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
