"""The likelihood of pictures by the probability flow (eq. 39, arXiv 2011.13456), with an estimate of its own error.

Along the flow dx/dτ = x − D(x, σ) over τ = ln σ a density changes by its divergence:

    log p(x_min) = log N(x_max; 0, σ_max²) + ∫ (dims − tr ∂D/∂x) dτ     from ln σ_min to ln σ_max                    (1)

Pictures are integer levels x₀, and p is a density at σ_min. The process's own noise there dequantises them, q(x | x₀)
= N(x₀, σ_min²), and the decoder of the variational bound (bound.py) brings them back:

    log P(x₀) >= E_q[ log p(x) + log P(x₀ | x) − log q(x | x₀) ]                                                     (2)

It is a bound by its dequantisation alone, of the distribution that the samplers of the flow draw from. The Runge-Kutta
method of order 4 takes (1) in `steps` steps, even in τ, and again in half as many: a fifteenth of the difference is
about the error that is left in the first. The trace is a mean over random probes v of vᵀ (∂D/∂x) v (Hutchinson); their
spread gives its standard error. The exact trace is the sum of the Jacobian's diagonal, one derivative for each.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.errors import UserError
from jaxgen.families.diffusion.bound import Denoise, LevelLogProb, reconstruction
from jaxgen.ops.noise import normal_log_prob
from jaxgen.ops.rows import draw, normal

_MOST_STEPS = 10_000
_RUNGE_KUTTA = ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6))  # how far in the step, and the slope's weight

_AT_ONCE = 16  # derivatives of a batch that are taken together, which bounds the memory

Linear = Callable[[jax.Array], jax.Array]  # of x's shape, there and back
Slopes = tuple[jax.Array, jax.Array]  # of x [B, H, W, C], of the log-density by each probe [B, P]


@dataclass(frozen=True)
class FlowLikelihood:
    """`steps` steps of order 4: with those of half as many 6 * `steps` evaluations of D, `probes` derivatives each.

    0 probes take the exact trace: as many derivatives as a picture has numbers.
    """

    steps: int = 24
    probes: int = 2

    def __post_init__(self):
        if not (2 <= self.steps <= _MOST_STEPS and self.steps % 2 == 0):
            raise UserError(f"likelihood.steps is {self.steps}; give an even number from 2 to {_MOST_STEPS:,}")
        if self.probes < 0 or self.probes == 1:
            raise UserError(
                f"likelihood.probes is {self.probes}; give at least 2, which tell their spread, or 0 for the exact "
                "trace"
            )

    def sums(
        self,
        denoise: Denoise,
        level_log_prob: LevelLogProb,
        clean: jax.Array,
        level: jax.Array,
        ends: tuple[float, float],
        key: jax.Array,
        row: jax.Array,
        weight: jax.Array,
    ) -> dict[str, Mean]:
        """Of eq. 2 over pictures [B, H, W, C]; `ends` are σ_min and σ_max."""
        noise_key, probe_key = jax.random.split(key)
        low = ends[0]
        x = clean + low * normal(noise_key, row, clean.shape[1:])
        others = -reconstruction(level_log_prob, x, level, low) - normal_log_prob(x, clean, jnp.float32(low))
        probes = self._probes(probe_key, row, clean.shape[1:])
        fine, coarse = (
            flow_log_density(denoise, x, ends, steps, probes)
            for steps in (self.steps, self.steps // 2)
        )  # [B, P]
        variance = jnp.zeros(len(x)) if probes is None else fine.var(axis=1, ddof=1) / self.probes
        fine, coarse = fine.mean(axis=1), coarse.mean(axis=1)
        return {
            "flow_nats": Mean.of(-fine - others, weight),
            "flow_steps": Mean.of((fine - coarse) / 15, weight),
            "flow_variance": Mean.of(variance, weight),
        }

    def _probes(self, key: jax.Array, row: jax.Array, shape: tuple[int, ...]) -> jax.Array | None:
        """[B, P, H, W, C] with vvᵀ the identity in expectation; none for the exact trace."""
        if not self.probes:
            return None
        return draw(lambda one: jax.random.rademacher(one, (self.probes, *shape), jnp.float32), key, row)

    def figures(self, sums: Mapping[str, Mean], dims: int) -> dict[str, float]:
        """In bits per dimension: the bound of eq. 2, the error that the steps leave, the standard error of the probes.
        """
        unit = dims * math.log(2)
        variance = sums["flow_variance"]
        return {
            "flow_bits_per_dim": sums["flow_nats"].value / unit,
            "flow_step_error_bits_per_dim": sums["flow_steps"].value / unit,
            "flow_probe_error_bits_per_dim": (variance.value / variance.weight) ** 0.5 / unit,
        }


def flow_log_density(
    denoise: Denoise, x: jax.Array, ends: tuple[float, float], steps: int, probes: jax.Array | None
) -> jax.Array:
    """[B, P] nats: eq. 1 at `x` [B, H, W, C]; `ends` are its own noise σ_min and σ_max.

    Each of the probes [B, P, H, W, C] gives an estimate of its own; without any the trace is exact, [B, 1].
    """
    dims, (low, high) = math.prod(x.shape[1:]), map(math.log, ends)
    h = (high - low) / steps

    def slopes(x: jax.Array, τ: jax.Array) -> Slopes:
        """dx/dτ, and its divergence by each probe [B, P]."""
        σ = jnp.full(len(x), jnp.exp(τ), jnp.float32)
        clean, pull = jax.vjp(lambda y: denoise(y, σ), x)

        def derivative(v: jax.Array) -> jax.Array:
            return pull(v)[0]

        traces = _trace(derivative, x)[:, None] if probes is None else _estimates(derivative, probes)
        return x - clean, dims - traces

    def stage(
        carry: tuple[Slopes, Slopes], at: jax.Array, begun: jax.Array, τ: jax.Array
    ) -> tuple[tuple[Slopes, Slopes], None]:
        (slope, _), sums = carry
        found = slopes(begun + at[0] * h * slope, τ + at[0] * h)
        return (found, jax.tree.map(lambda sum, one: sum + at[1] * one, sums, found)), None

    def step(carry: Slopes, number: jax.Array) -> tuple[Slopes, None]:
        x, τ = carry[0], low + number * h
        nothing = jax.tree.map(jnp.zeros_like, carry)
        # one copy of the network for all four stages
        (_, sums), _ = jax.lax.scan(lambda c, at: stage(c, at, x, τ), (nothing, nothing), jnp.array(_RUNGE_KUTTA))
        return jax.tree.map(lambda old, sum: old + h * sum, carry, sums), None

    nothing = jnp.zeros((len(x), 1 if probes is None else probes.shape[1]))
    (x, total), _ = jax.lax.scan(step, (x, nothing), jnp.arange(steps, dtype=jnp.float32))
    return total + normal_log_prob(x, 0.0, jnp.float32(ends[1]))[:, None]


def _estimates(derivative: Linear, probes: jax.Array) -> jax.Array:
    """[B, P]: vᵀ (∂D/∂x)ᵀ v of each of the probes v [B, P, H, W, C]; the transpose's trace is the same."""
    along = jax.lax.map(derivative, jnp.moveaxis(probes, 1, 0), batch_size=_AT_ONCE)
    return jnp.sum(probes * jnp.moveaxis(along, 0, 1), axis=(2, 3, 4))


def _trace(derivative: Linear, x: jax.Array) -> jax.Array:
    """[B]: tr ∂D/∂x, for no row of D depends on another row of x [B, H, W, C]."""
    dims = math.prod(x.shape[1:])

    def entry(number: jax.Array) -> jax.Array:
        """[B]: the Jacobian's diagonal, at one place."""
        direction = jnp.zeros((len(x), dims), x.dtype).at[:, number].set(1)
        return derivative(direction.reshape(x.shape)).reshape(len(x), dims)[:, number]

    return jax.lax.map(entry, jnp.arange(dims), batch_size=_AT_ONCE).sum(axis=0)
