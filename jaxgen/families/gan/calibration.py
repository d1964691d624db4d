"""How D's output becomes a probability: two normal distributions, of reals and of fakes, kept as moving sums.

A relativistic D knows differences alone: its output has no zero. With outputs N(m_r, v) on reals and N(m_f, v) on fakes
that are equally frequent, the posterior probability of `real` is sigmoid((m_r - m_f) (x - (m_r + m_f) / 2) / v).
The moments come from training batches: p is calibrated between training pictures and fakes, and a D that overfits
its training set gives held-out reals less.
"""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

_HALF_LIFE = 20_000.0  # examples: long enough for steady moments, short beside a run in which D's level drifts
_SMALLEST_VARIANCE = 1e-6  # sums of squares in float32 lose the rest
_LARGEST_LOGIT = 15.0  # float32's sigmoid reaches 1 soon after; p stays inside (0, 1)
MOST_SEEN = 2**30  # int32 has room for a batch more


@struct.dataclass
class OutputSums:
    """Sums over examples of D's outputs on reals and fakes, and of both outputs' squares.

    `seen` (int32) is how many reals D was trained on, up to 2**30; None where nothing depends on it.
    """

    weight: jax.Array
    real: jax.Array
    fake: jax.Array
    squares: jax.Array
    seen: jax.Array | None = None

    @classmethod
    def at_first(cls, counted: bool = False) -> "OutputSums":
        """One example of each kind, alike: p is 1/2 until the first batch. `counted`: with `seen`."""
        seen = jnp.int32(0) if counted else None
        return cls(jnp.float32(1), jnp.float32(0), jnp.float32(0), jnp.float32(2), seen)

    @classmethod
    def of(cls, real: Float[Array, "B"], fake: Float[Array, "B"], weight: Float[Array, "B"]) -> "OutputSums":
        seen = jnp.sum(weight > 0, dtype=jnp.int32)
        return cls(jnp.sum(weight), weight @ real, weight @ fake, weight @ (real**2 + fake**2), seen)

    def absorb(self, new: "OutputSums") -> "OutputSums":
        """These sums, faded by the number of new examples, and the new ones; what was seen does not fade."""
        kept = 0.5 ** (new.weight / _HALF_LIFE)
        seen = None if self.seen is None else jnp.minimum(self.seen + new.seen, MOST_SEEN)
        sums = (one.replace(seen=None) for one in (self, new))
        return jax.tree.map(lambda old, more: kept * old + more, *sums).replace(seen=seen)

    def probability(self, outputs: Float[Array, "B"]) -> Float[Array, "B"]:
        """[B] in (0, 1): the posterior probability that each output is a real picture's."""
        real, fake = self.real / self.weight, self.fake / self.weight
        variance = (self.squares / self.weight - real**2 - fake**2) / 2
        logit = (real - fake) * (outputs - (real + fake) / 2) / jnp.maximum(variance, _SMALLEST_VARIANCE)
        return jax.nn.sigmoid(jnp.clip(logit, -_LARGEST_LOGIT, _LARGEST_LOGIT))
