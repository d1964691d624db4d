"""The game's mathematics: both players' losses, the gradient penalty, and the channel D sees pictures through."""
# SPDX-License-Identifier: Apache-2.0

import enum
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.rows import uniform
from jaxgen.types import Key

Pictures = Float[Array, "B H W C"]
Outputs = Float[Array, "B"]


class Loss(enum.Enum):
    """What the players compare."""

    RELATIVISTIC = "relativistic"  # each real with a fake of its class (arXiv 1807.00734, 2501.05441 section 2)
    NON_SATURATING = "non_saturating"  # each picture with zero (arXiv 1406.2661, section 3)


def discriminator_nats(loss: Loss, real: Outputs, fake: Outputs) -> Outputs:
    """[B] nats that D pays for its outputs on reals and fakes."""
    if loss is Loss.RELATIVISTIC:
        return jax.nn.softplus(-(real - fake))
    return jax.nn.softplus(-real) + jax.nn.softplus(fake)


def generator_nats(loss: Loss, real: Outputs, fake: Outputs) -> Outputs:
    """[B] nats that G pays for D's outputs."""
    return jax.nn.softplus(-(fake - real)) if loss is Loss.RELATIVISTIC else jax.nn.softplus(-fake)


def penalised(judge: Callable[[Pictures], Outputs], pictures: Pictures) -> tuple[Outputs, Outputs]:
    """D's outputs [B], and the squared norm [B] of each one's gradient with respect to its own picture.

    On reals its mean is R1, on fakes R2 (arXiv 1801.04406), both before gamma / 2. `judge` must not mix examples.
    """
    outputs, pull_back = jax.vjp(judge, pictures)
    (gradient,) = pull_back(jnp.ones_like(outputs))
    return outputs, jnp.sum(gradient**2, axis=(1, 2, 3))


def rounded(pictures: Pictures, levels: int) -> Pictures:
    """Pictures on the levels' grid in [-1, 1], with the gradient of a clip to what those levels span.

    D must judge what is sampled. Judging G's numbers before they are rounded, it lets G miss a level by a little
    everywhere: on digits 29 % of the pixels came out black instead of 49 %, and a forest told 87 % of the samples from
    real ones, not 62 %. The clip's zero gradient lets a black pixel lie anywhere below the lowest level.
    """
    half = 1.0 / (levels - 1)
    clipped = jnp.clip(pictures, -1.0 - half, 1.0 + half)
    return clipped + jax.lax.stop_gradient(to_unit(to_levels(pictures, levels), levels) - clipped)


def dequantised(pictures: Pictures, levels: int, key: Key, row: Int[Array, "B"]) -> Pictures:
    """Noise one level wide on pictures from the grid of levels: D, and its gradient, see no gaps between the levels."""
    return pictures + (uniform(key, row, pictures.shape[1:]) - 0.5) * (2.0 / (levels - 1))
