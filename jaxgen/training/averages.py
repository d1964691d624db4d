"""Running averages of the parameters: exponential, their memory told as a half-life in examples; of a power; uniform.

In float32 a step that changes an average by less than half its last bit (6e-8 of it) would leave it where it is, every
time: under a half-life of 500,000 examples and batches of 8, all that lies within 0.3 % of its parameter. So the sum
is rounded down or up in turn: up in as many steps as the remainder is large, the steps chosen by a Weyl sequence (the
multiples of the golden ratio without their whole parts). The mean of the rounding errors is then 0, as with
stochastic rounding (arXiv 1502.02551), without random numbers, and without a second array for the remainders.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import UserError

_GOLDEN = 2654435769  # 2**32 / the golden ratio, an odd number: its multiples are even over the integers below 2**32


@runtime_checkable
class Average(Protocol):
    """Any frozen dataclass with such an `update` is an average."""

    def update(self, average: Any, params: Any, step: jax.Array, batch_size: int) -> Any:
        """The average after step `step` (counted from 1) has moved the parameters; equal leaves stay bit for bit."""


@dataclass(frozen=True)
class EMA:
    """An exponential average: after `half_life` more examples a parameter's weight in it has halved.

    `ramp` shortens the half-life at the start to that share of the examples seen so far, so that the average is not
    held back by the first, random parameters (arXiv 2206.00364, appendix F.1; 0.05 there).
    """

    half_life: float
    ramp: float = 0.05

    def __post_init__(self):
        if self.half_life <= 0 or self.ramp <= 0:
            raise UserError(
                f"an average's half_life is {self.half_life} and its ramp {self.ramp}; both must be above 0"
            )

    def update(self, average: Any, params: Any, step: jax.Array, batch_size: int) -> Any:
        """The average after step `step` (counted from 1) has moved the parameters."""
        seen = step.astype(jnp.float32) * batch_size
        half_life = jnp.minimum(self.half_life, self.ramp * seen)
        share = -jnp.expm1(-math.log(2) * batch_size / half_life)  # 1 - 2^-x, to the last bit where x is small
        return moved(average, params, share, step)


@dataclass(frozen=True)
class UniformAverage:
    """The mean of the parameters after each step from `start` on, and before it the parameters themselves.

    With SGD it makes averaged SGD (Polyak and Juditsky 1992); after a rate that stays high, stochastic weight
    averaging (arXiv 1803.05407).
    """

    start: int = 1  # the step whose parameters are the first in the mean

    def __post_init__(self):
        if self.start < 1:
            raise UserError(f"an average's start is {self.start}; give a step, which are counted from 1")

    def update(self, average: Any, params: Any, step: jax.Array, batch_size: int) -> Any:
        """The average after step `step` (counted from 1) has moved the parameters."""
        share = 1.0 / jnp.maximum(step - self.start + 1, 1).astype(jnp.float32)
        return moved(average, params, share, step)


@dataclass(frozen=True)
class PowerEMA:
    """The average whose weights grow as a power of the step (section 3.1, arXiv 2312.02696).

    `width` is the standard deviation of its weights over the steps, as a share of the steps taken (σ_rel of the paper):
    0.1 is an average over about the last tenth. Of two widths in a run's checkpoints any other can be rebuilt (`--set
    evaluate.width=0.07`, running/rebuilt.py).
    """

    width: float = 0.1

    def __post_init__(self):
        check_width(self.width)

    @property
    def power(self) -> float:
        return power_of(self.width)

    def update(self, average: Any, params: Any, step: jax.Array, batch_size: int) -> Any:
        """The average after step `step` (counted from 1) has moved the parameters: β = (1 - 1/step)^(γ + 1)."""
        t = step.astype(jnp.float32)
        share = -jnp.expm1((self.power + 1) * jnp.log1p(-1 / jnp.maximum(t, 2.0)))
        return moved(average, params, jnp.where(t > 1, share, 1.0), step)


AnyAverage = EMA | PowerEMA | UniformAverage | Average


def check_width(width: float) -> None:
    """UserError for a width that no average has: the widest is that of equal weights, √(1/12)."""
    if not 0.001 <= width <= 0.28:
        raise UserError(f"an average's width is {width}; give a share of the steps from 0.001 to 0.28")


def power_of(width: float) -> float:
    """γ of the average of this width: the largest root of σ_rel² (γ + 2)² (γ + 3) = γ + 1 (eq. 126, arXiv 2312.02696).
    """
    inverse = width**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots[np.isreal(roots)].real.max())


def moved(average: Any, params: Any, share: jax.Array, step: jax.Array) -> Any:
    """a + share (p - a), leaf by leaf, without bias from rounding.

    A leaf with a == p stays exactly as it is; (1 - share) a + share p would change the last bit of 15.7 % of floats.
    """
    sequence = step.astype(jnp.uint32) * jnp.uint32(_GOLDEN)
    threshold = ((sequence >> 8).astype(jnp.float32) + 0.5) * 2.0**-24  # in (0, 1)

    def move(a: jax.Array, p: jax.Array) -> jax.Array:
        change = (share * (p - a)).astype(a.dtype)
        total = a + change
        # what is missing in the total, exactly: Knuth's TwoSum
        of_change = total - a
        missing = (a - (total - of_change)) + (change - of_change)
        # the next number on that side, by its bits; of a total of 0, from which nothing is missing, it is not used
        bits = jax.lax.bitcast_convert_type(total, _integers(a.dtype))
        one = jnp.where((missing > 0) == (total > 0), 1, -1).astype(bits.dtype)
        beyond = jax.lax.bitcast_convert_type(bits + one, a.dtype)
        return jnp.where(jnp.abs(missing) > threshold * jnp.abs(beyond - total), beyond, total)

    return jax.tree.map(move, average, params)


def _integers(dtype: Any) -> jnp.dtype:
    """The signed integers of as many bits."""
    return jnp.dtype(f"int{8 * jnp.dtype(dtype).itemsize}")
