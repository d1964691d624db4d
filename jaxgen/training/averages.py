"""Running averages of the parameters, their memory told as a half-life in examples."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError


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
        share = 1.0 - 0.5 ** (batch_size / half_life)
        # a + (1-d)(p - a) leaves a == p exactly as it is; d*a + (1-d)*p changes the last bit of 15.7 % of floats
        return jax.tree.map(lambda a, p: a + (share * (p - a)).astype(a.dtype), average, params)
