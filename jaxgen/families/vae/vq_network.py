"""Networks of a VQ-VAE: a picture to a vector for each cell of a grid, and a grid of code vectors to a picture."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.families.vae.likelihoods import AnyLikelihood, LogisticMixtures, likelihood_of_squares
from jaxgen.families.vae.top_down import BottomUp, Branch, check_blocks, doubled, grid_of
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes
from jaxgen.ops.distributions import PixelDistribution

_LEAST_SQUARE = 1e-6


class GridEncoder(nn.Module):
    """The coarsest features of a BottomUp as vectors of D numbers, scaled to a mean square of 1.

    Of that size they cannot grow away from codes that follow them as averages.
    """

    width: int = 64
    inner: int = 32  # of the blocks' bottlenecks
    grid_blocks: tuple[int, ...] = (2, 2)  # of each grid, the coarsest first
    precision: Precision = Precision.FLOAT32
    patch: int = 1  # from the decoder
    size: int = 0  # D, from the codebook

    def __post_init__(self):
        check_sizes(self)
        check_blocks(self.grid_blocks)
        super().__post_init__()

    @nn.compact
    def __call__(self, picture: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        how = self.width, self.inner, self.grid_blocks, self.precision, self.patch
        coarsest = BottomUp(*how, name="trunk")(picture, None)[0]
        z = self.precision.output(self.size, name="to_codes")(nn.gelu(coarsest))
        return z * jax.lax.rsqrt(jnp.mean(z**2, axis=-1, keepdims=True) + _LEAST_SQUARE)


class GridDecoder(nn.Module):
    """Code vectors on a grid to a picture's distribution: residual blocks, and the grid doubled between its sizes.

    The finest grid has a cell for each square of `patch` pixels. The last layers of the residual branches begin
    1 / sqrt(number of blocks) as large.
    """

    width: int = 64
    inner: int = 32
    grid_blocks: tuple[int, ...] = (2, 2)
    patch: int = 2
    likelihood: AnyLikelihood = LogisticMixtures(components=1)
    precision: Precision = Precision.FLOAT32
    image: tuple[int, int, int] | None = None  # H, W, C, from the data
    levels: int = 0  # from the data

    def __post_init__(self):
        check_sizes(self)
        check_blocks(self.grid_blocks)
        super().__post_init__()

    @nn.compact
    def __call__(self, codes: Float[Array, "B h w D"]) -> PixelDistribution:
        x = self.precision.dense(self.width, name="from_codes")(codes)
        scale = sum(self.grid_blocks) ** -0.5
        for grid, blocks in enumerate(self.grid_blocks):
            x = doubled(x) if grid else x
            for number in range(blocks):
                x = x + Branch(self.inner, self.width, scale, self.precision, name=f"block_{grid}_{number}")(x)
        how = self.image, self.levels, self.patch, self.precision
        return likelihood_of_squares(self.likelihood, nn.gelu(x), *how)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the grid of codes; UserError where pictures cannot be cut so."""
        return grid_of(self, 0)
