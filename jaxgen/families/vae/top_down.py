"""A hierarchical VAE: latents of every grid from the coarsest to the finest, each drawn given all before it.

Features of the picture rise through a convolutional net; on the way down a block draws its latent from the posterior,
which sees the features of its grid, or from the prior, which does not (arXiv 1602.02282 and 2011.10650).
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.errors import UserError
from jaxgen.families.vae.latents import Inferred, Shape, folded_keys, noise_of, standardised
from jaxgen.families.vae.likelihoods import AnyLikelihood, BernoulliPixels, likelihood_of_squares
from jaxgen.families.vae.network import Prior, bounded_log_std
from jaxgen.nn.conditions import Condition, Conditioned
from jaxgen.nn.convolution_3x3 import convolution_3x3
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes
from jaxgen.ops.distributions import PixelDistribution, normal_kl, normal_log_density, reparameterised
from jaxgen.ops.pixel_blocks import folded
from jaxgen.types import Key, Params


class Branch(nn.Module):
    """A bottleneck of two 3x3 convolutions between two layers of each pixel: [B, H, W, C] to [B, H, W, outputs].

    The last layer begins `scale` times as large as the others do (arXiv 2011.10650).
    """

    inner: int
    outputs: int
    scale: float
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.precision.dense(self.inner, name="in")(nn.gelu(x))
        for number in range(2):
            x = convolution_3x3(self.inner, self.precision, name=f"conv_{number}")(nn.gelu(x))
        init = nn.initializers.variance_scaling(self.scale**2, "fan_in", "truncated_normal")
        init = init if self.scale else nn.initializers.zeros
        return self.precision.dense(self.outputs, kernel_init=init, name="out")(nn.gelu(x))


class BottomUp(nn.Module):
    """A picture to its features [B, h, w, width] on each of the decoder's grids, the coarsest first.

    Squares of `patch` pixels are folded into features; then come `grid_blocks[g]` residual blocks on grid g, counted
    from the coarsest, with a halving by averages between two grids.
    """

    width: int = 64
    inner: int = 32  # of the blocks' bottlenecks
    grid_blocks: tuple[int, ...] = (2, 2)
    precision: Precision = Precision.FLOAT32
    patch: int = 1  # from the decoder

    def __post_init__(self):
        check_sizes(self)
        check_blocks(self.grid_blocks)
        super().__post_init__()

    @nn.compact
    def __call__(self, picture: jax.Array, condition: Condition | None) -> tuple[jax.Array, ...]:
        x = convolution_3x3(self.width, self.precision, name="in")(folded(picture, self.patch))
        if condition is not None:
            x = x + Conditioned(self.width, name="condition")(condition).astype(x.dtype)[:, None, None]
        scale, features = sum(self.grid_blocks) ** -0.5, []
        for grid in reversed(range(len(self.grid_blocks))):
            if features:
                size, height, width, channels = x.shape
                x = x.reshape(size, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
            for number in range(self.grid_blocks[grid]):
                name = f"block_{grid}_{number}"
                x = x + Branch(self.inner, self.width, scale, self.precision, name=name)(x)
            features.append(x)
        return tuple(reversed(features))


class TopDown(nn.Module):
    """Latents of `latent` channels, `grid_blocks[g]` on grid g, the coarsest first, to a picture's distribution.

    The finest grid has a cell for each square of `patch` pixels, and each other one half as many along both sides. The
    last layers of the residual branches begin 1 / sqrt(number of blocks) as large, the priors standard normal.
    """

    width: int = 64
    inner: int = 32
    grid_blocks: tuple[int, ...] = (3, 3)
    latent: int = 8
    patch: int = 2
    likelihood: AnyLikelihood = BernoulliPixels()
    precision: Precision = Precision.FLOAT32
    image: Shape | None = None  # H, W, C, from the data
    levels: int = 0  # from the data

    def __post_init__(self):
        check_sizes(self)
        check_blocks(self.grid_blocks)
        if self.latent < 1 or self.patch < 1:
            raise UserError(f"decoder.latent is {self.latent} and decoder.patch {self.patch}; give at least 1 of each")
        super().__post_init__()

    @nn.nowrap
    def joined(self, encoder: nn.Module, prior: Prior | None) -> "Hierarchy":
        return Hierarchy(encoder, self, prior)

    @nn.compact
    def __call__(
        self,
        features: tuple[jax.Array, ...] | None,
        condition: Condition | None,
        noise: tuple[jax.Array, ...],
        temperature: jax.Array | float = 1.0,
    ) -> Inferred:
        """By the posterior, which sees the encoder's `features`, or without them by the prior; `noise` as `shapes`."""
        height, width = self.grid(0)
        first = self.param("first", nn.initializers.zeros, (height, width, self.width), jnp.float32)
        x = jnp.broadcast_to(first, (len(noise[0]), *first.shape)).astype(self.precision.dtype)
        if condition is not None:
            x = x + Conditioned(self.width, name="condition")(condition).astype(x.dtype)[:, None, None]
        found, how = [], (self.inner, self.latent, sum(self.grid_blocks) ** -0.5, self.precision)
        for grid, blocks in enumerate(self.grid_blocks):
            x = doubled(x) if grid else x
            seen = None if features is None else features[grid]
            for number in range(blocks):
                block = TopDownBlock(*how, name=f"block_{grid}_{number}")
                x, more = block(x, seen, noise[len(found)], temperature)
                found.append(more)
        log_q, log_p, kl, means, noise = zip(*found, strict=True)
        layers = (jnp.stack(each) for each in (log_q, log_p, kl))
        how = self.likelihood, nn.gelu(x), self.image, self.levels, self.patch, self.precision
        return Inferred(likelihood_of_squares(*how), *layers, jnp.concatenate(means, axis=-1), noise)

    @nn.nowrap
    def grid(self, number: int) -> tuple[int, int]:
        """Height and width of a grid; UserError where pictures cannot be cut so."""
        return grid_of(self, number)

    @nn.nowrap
    def shapes(self) -> list[tuple[int, int, int]]:
        """Of each block's latent, the coarsest grid's first."""
        grids = enumerate(self.grid_blocks)
        return [(*self.grid(grid), self.latent) for grid, blocks in grids for _ in range(blocks)]


class TopDownBlock(nn.Module):
    """One stochastic layer: prior, posterior, and what the latent drawn from one of them adds to the features."""

    inner: int
    latent: int
    scale: float
    precision: Precision

    @nn.compact
    def __call__(
        self, x: jax.Array, seen: jax.Array | None, noise: jax.Array, temperature: jax.Array | float
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Features [B, h, w, C] after it, and of the latent log q, log p and KL [B], the posterior's mean [B, Z], and
        the noise [B, h, w, latent] from which the prior makes it.
        """
        size, width = len(x), x.shape[-1]
        out = Branch(self.inner, 2 * self.latent + width, 0.0, self.precision, name="prior")(x)
        prior, more = _normal(out[..., : 2 * self.latent]), out[..., 2 * self.latent :]
        posterior = prior
        if seen is not None:
            both = jnp.concatenate([x, seen], axis=-1)
            branch = Branch(self.inner, 2 * self.latent, 1.0, self.precision, name="posterior")
            posterior = _normal(branch(both))
        z = reparameterised(temperature * noise, *posterior)
        init = nn.initializers.variance_scaling(self.scale**2, "fan_in", "truncated_normal")
        x = x + more + self.precision.dense(width, kernel_init=init, name="latent")(z)
        x = x + Branch(self.inner, width, self.scale, self.precision, name="residual")(x)
        flat, own, above = (jax.tree.map(lambda a: a.reshape(size, -1), tree) for tree in (z, posterior, prior))
        nats = normal_log_density(flat, *own), normal_log_density(flat, *above), normal_kl(*own, *above)
        return x, (*nats, own[0], standardised(z, *prior))


@dataclass(frozen=True)
class Hierarchy:
    """The latents of a BottomUp and a TopDown, whose priors are parts of the latter."""

    encoder: BottomUp
    decoder: TopDown
    prior: None

    def __post_init__(self):
        if not isinstance(self.encoder, BottomUp) or len(self.encoder.grid_blocks) != len(self.decoder.grid_blocks):
            raise UserError(
                f"decoder is a TopDown of {len(self.decoder.grid_blocks)} grids; let encoder be a BottomUp with "
                "grid_blocks of as many"
            )
        if self.prior is not None:
            raise UserError("a TopDown has priors of its own; set task.prior=none")

    def sized(self, image: Shape, levels: int) -> "Hierarchy":
        self.decoder.likelihood.check(levels)
        decoder = self.decoder.clone(image=image, levels=levels)
        decoder.grid(0)
        return replace(self, encoder=self.encoder.clone(patch=decoder.patch), decoder=decoder)

    def init(self, key: Key, picture: jax.Array, condition: Condition | None) -> dict[str, Params]:
        own = jax.random.split(key)
        encoder = self.encoder.init(own[0], picture, condition)["params"]
        features = self.encode({"encoder": encoder}, picture, condition)
        noise = self.noise(jax.random.split(key, 1))
        decoder = self.decoder.init(own[1], features, condition, noise)["params"]
        return {"encoder": encoder, "decoder": decoder}

    def encode(
        self, params: Params, picture: jax.Array, condition: Condition | None, dropping: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        return self.encoder.apply({"params": params["encoder"]}, picture, condition)

    def infer(
        self,
        params: Params,
        encoded: tuple[jax.Array, ...],
        condition: Condition | None,
        keys: jax.Array,
        dropping: jax.Array | None = None,
    ) -> Inferred:
        return self.decoder.apply({"params": params["decoder"]}, encoded, condition, self.noise(keys))

    def noise(self, keys: jax.Array) -> tuple[jax.Array, ...]:
        shapes = enumerate(self.decoder.shapes())
        return tuple(noise_of(folded_keys(keys, place), shape) for place, shape in shapes)

    def decode(
        self,
        params: Params,
        condition: Condition | None,
        noise: tuple[jax.Array, ...],
        temperature: jax.Array | float = 1.0,
    ) -> PixelDistribution:
        return self.decoder.apply({"params": params["decoder"]}, None, condition, noise, temperature).likelihood


def grid_of(decoder: nn.Module, number: int) -> tuple[int, int]:
    """Height and width of a decoder's grid, counted from the coarsest; UserError where pictures cannot be cut so."""
    grids, patch, image = len(decoder.grid_blocks), decoder.patch, decoder.image
    unit = patch * 2 ** (grids - 1)
    if any(side % unit for side in image[:2]):
        raise UserError(
            f"a {type(decoder).__name__} of {grids} grids and patch {patch} makes pictures whose sides are multiples "
            f"of {unit}, and these are {image[0]}x{image[1]}; set decoder.grid_blocks and encoder.grid_blocks to "
            "fewer, or another decoder.patch"
        )
    height, width = (side // unit * 2**number for side in image[:2])
    return height, width


def _normal(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation in float32, each half of the channels."""
    mean, log_std = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return mean, bounded_log_std(log_std)


def doubled(x: jax.Array) -> jax.Array:
    """[B, h, w, C] with its sides doubled by repeating cells."""
    size, height, width, channels = x.shape
    repeated = jnp.broadcast_to(x[:, :, None, :, None], (size, height, 2, width, 2, channels))
    return repeated.reshape(size, 2 * height, 2 * width, channels)


def check_blocks(blocks: tuple[int, ...]) -> None:
    if not blocks or min(blocks) < 1:
        raise UserError(f"grid_blocks is {blocks}; give at least one grid, and 1 or more of each grid")
