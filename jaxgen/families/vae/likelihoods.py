"""How a decoder's numbers become a distribution of each pixel's each channel: the likelihood, one setting each."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.nn.precision import Precision
from jaxgen.ops.distributions import Bernoulli, Categorical, LogisticMixture, PixelDistribution
from jaxgen.ops.pixel_blocks import unfolded


@dataclass(frozen=True)
class LogisticMixtures:
    """A mixture of discretised logistics (arXiv 1701.05517, eq. 2): for pictures of many levels."""

    components: int = 3  # K

    def __post_init__(self):
        if self.components < 1:
            raise UserError(f"likelihood.components is {self.components}; give at least 1")

    def check(self, levels: int) -> None:
        pass

    def numbers(self, levels: int) -> int:
        """How many numbers the decoder gives for each pixel's each channel."""
        return 3 * self.components

    def of(self, x: Float[Array, "B H W C N"], levels: int) -> LogisticMixture:
        logits, mean, log_scale = jnp.moveaxis(x.reshape(*x.shape[:-1], self.components, 3), -1, 0)
        half = (levels - 1) / 2
        # equal components would stay equal
        spread = jnp.linspace(-1.0, 1.0, self.components + 2, dtype=jnp.float32)[1:-1]
        return LogisticMixture(logits, half * (1.0 + spread + mean), math.log(levels / 8) + log_scale)


@dataclass(frozen=True)
class BernoulliPixels:
    """A probability of ink for each pixel: for pictures of two levels alone."""

    def check(self, levels: int) -> None:
        if levels != 2:
            raise UserError(
                f"decoder.likelihood is BernoulliPixels, for pictures of two levels, and these have {levels}; set "
                "data.binarise=true, or choose LogisticMixtures or CategoricalLevels"
            )

    def numbers(self, levels: int) -> int:
        return 1

    def of(self, x: Float[Array, "B H W C N"], levels: int) -> Bernoulli:
        return Bernoulli(x[..., 0])


@dataclass(frozen=True)
class CategoricalLevels:
    """A probability of each level, which knows no order among them: for pictures of few levels."""

    def check(self, levels: int) -> None:
        pass

    def numbers(self, levels: int) -> int:
        return levels

    def of(self, x: Float[Array, "B H W C N"], levels: int) -> Categorical:
        return Categorical(x)


AnyLikelihood = LogisticMixtures | BernoulliPixels | CategoricalLevels


def likelihood_layer(
    likelihood: AnyLikelihood, x: Float[Array, "B D"], image: tuple[int, int, int], levels: int, precision: Precision
) -> PixelDistribution:
    """Features to the distributions of a whole picture by a dense layer `likelihood`; called inside a compact module.
    """
    numbers = likelihood.numbers(levels)
    kernel_init = nn.initializers.variance_scaling(0.1, "fan_in", "normal")
    x = precision.output(math.prod(image) * numbers, kernel_init=kernel_init, name="likelihood")(x)
    return likelihood.of(x.reshape(-1, *image, numbers), levels)


def likelihood_of_squares(
    likelihood: AnyLikelihood,
    x: Float[Array, "B h w D"],
    image: tuple[int, int, int],
    levels: int,
    patch: int,
    precision: Precision,
) -> PixelDistribution:
    """The same of a grid's features, each cell of which makes a square of `patch` pixels a side."""
    numbers = likelihood.numbers(levels)
    kernel_init = nn.initializers.variance_scaling(0.1, "fan_in", "normal")
    layer = precision.output(patch**2 * image[2] * numbers, kernel_init=kernel_init, name="likelihood")
    x = unfolded(layer(x), patch)
    return likelihood.of(x.reshape(len(x), *image, numbers), levels)


def summed(log_prob: jax.Array) -> jax.Array:
    """[B, H, W, C] summed over each picture, [B]."""
    return log_prob.reshape(len(log_prob), -1).sum(axis=1)
