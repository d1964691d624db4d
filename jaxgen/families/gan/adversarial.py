"""The game's mathematics: both players' losses, the gradient penalties, and the channel D sees pictures through."""
# SPDX-License-Identifier: Apache-2.0

import enum
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.rows import uniform
from jaxgen.types import Key

Pictures = Float[Array, "B ..."]  # [B, H, W, C], or clips [B, T, H, W, C]
Outputs = Float[Array, "B"]
Judge = Callable[[Pictures], Outputs]

_SMALLEST = 1e-12  # a square root has no gradient at 0


class Loss(enum.Enum):
    """What the players compare: D's outputs x on reals and y on fakes, and what D and G pay for them."""

    RELATIVISTIC = "relativistic"  # softplus(y - x) and softplus(x - y) (arXiv 1807.00734, 2501.05441 section 2)
    NON_SATURATING = "non_saturating"  # softplus(-x) + softplus(y) and softplus(-y) (arXiv 1406.2661, section 3)
    HINGE = "hinge"  # max(0, 1 - x) + max(0, 1 + y) and -y (arXiv 1705.02894, 1802.05957 eq. 16 and 17)
    WASSERSTEIN = "wasserstein"  # y - x and -y, D held to slopes of 1 by a penalty (arXiv 1701.07875, 1704.00028)


class Penalty(enum.Enum):
    """Where D's gradient to its pictures is penalised, each time with the weight gamma / 2."""

    REAL_AND_FAKE = "real_and_fake"  # |grad|^2 on both: R1 and R2 (arXiv 1801.04406, eq. 9 and 10)
    REAL = "real"  # |grad|^2 on reals alone: R1
    FAKE = "fake"  # |grad|^2 on fakes alone: R2
    INTERPOLATES = "interpolates"  # (|grad| - 1)^2 between a real and a fake (arXiv 1704.00028, eq. 3; gamma = 20)


def discriminator_nats(loss: Loss, real: Outputs, fake: Outputs) -> Outputs:
    """[B] that D pays for its outputs on reals and fakes, in nats where they are log-odds."""
    match loss:
        case Loss.RELATIVISTIC:
            return jax.nn.softplus(-(real - fake))
        case Loss.NON_SATURATING:
            return jax.nn.softplus(-real) + jax.nn.softplus(fake)
        case Loss.HINGE:
            return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)
        case Loss.WASSERSTEIN:
            return fake - real


def generator_nats(loss: Loss, real: Outputs, fake: Outputs) -> Outputs:
    """[B] that G pays for D's outputs."""
    match loss:
        case Loss.RELATIVISTIC:
            return jax.nn.softplus(-(fake - real))
        case Loss.NON_SATURATING:
            return jax.nn.softplus(-fake)
        case Loss.HINGE | Loss.WASSERSTEIN:
            return -fake


def judged(
    penalty: Penalty, judge: Judge, real: Pictures, fake: Pictures, key: Key, row: Int[Array, "B"]
) -> tuple[Outputs, Outputs, dict[str, Outputs]]:
    """D's outputs [B] on reals and on fakes, and the penalties [B] by their names, before gamma / 2.

    `judge` must not mix examples. Penalties on the outputs' own pictures share their forward pass.
    """
    if penalty is Penalty.INTERPOLATES:
        place = uniform(key, row, (1,) * (real.ndim - 1))
        _, squares = penalised(judge, place * real + (1 - place) * fake)
        return judge(real), judge(fake), {"interpolates": (jnp.sqrt(squares + _SMALLEST) - 1) ** 2}
    found = {}
    if penalty is Penalty.FAKE:
        real_output = judge(real)
    else:
        real_output, found["r1"] = penalised(judge, real)
    if penalty is Penalty.REAL:
        fake_output = judge(fake)
    else:
        fake_output, found["r2"] = penalised(judge, fake)
    return real_output, fake_output, found


def penalised(judge: Judge, pictures: Pictures) -> tuple[Outputs, Outputs]:
    """D's outputs [B], and the squared norm [B] of each one's gradient with respect to its own picture.

    `judge` must not mix examples.
    """
    outputs, pull_back = jax.vjp(judge, pictures)
    (gradient,) = pull_back(jnp.ones_like(outputs))
    return outputs, jnp.sum(gradient**2, axis=range(1, gradient.ndim))


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
