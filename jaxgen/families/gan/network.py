"""Generator and discriminator: mirror images built of residual blocks without normalisation (arXiv 2501.05441)."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
import math
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.nn.conditions import Condition
from jaxgen.nn.convolution_3x3 import convolution_3x3
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.text_encoder import TextEncoder, embedded
from jaxgen.ops.pixel_blocks import folded, unfolded

_SLOPE = 0.2  # of the leaky ReLU below zero
_unit_embedding = nn.initializers.normal(1.0)


def _check_groups(network: "Generator | Discriminator") -> None:
    """UserError where the width of a stage's branches is not cut evenly into its groups."""
    for channels in network.channels:
        if (width := network.expansion * channels) % network.groups:
            raise UserError(
                f"groups is {network.groups}, which does not divide a stage's {width} features (expansion times "
                "channels); give one that does, or 1"
            )


def resolutions(image: tuple[int, int, int], stages: int, patch: int = 1) -> list[tuple[int, int]]:
    """(H, W) of each stage from the coarsest; the last is the picture's in squares of `patch` pixels a side.

    UserError when squares or halves do not come out even.
    """
    if image[0] % patch or image[1] % patch:
        raise UserError(
            f"patch is {patch}, which does not divide a picture of {image[0]}x{image[1]}; choose one that divides both"
        )
    height, width = image[0] // patch, image[1] // patch
    halvings = 2 ** max(stages - 1, 0)
    if height % halvings or width % halvings:
        times = "once" if stages == 2 else f"{stages - 1} times"
        raise UserError(
            f"channels names {stages} resolutions, and a grid of {height}x{width} cannot be halved {times}; leave "
            "numbers out of channels, one for each resolution"
        )
    return [(height * 2**stage // halvings, width * 2**stage // halvings) for stage in range(stages)]


class Block(nn.Module):
    """A residual branch that adds nothing at first: 1x1, 3x3, 1x1 on pictures, two dense layers on vectors.

    `depth` is how many blocks the network has: layers before the last are scaled by depth^(-1/(2m-2)), m layers a
    branch, so that the output's change does not grow with it (Fixup, arXiv 1901.09321).
    """

    depth: int
    expansion: int
    groups: int
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = self.expansion * x.shape[-1]
        pictures = x.ndim == 4
        gain = self.depth ** (-1 / 4 if pictures else -1 / 2)
        kernel_init = nn.initializers.variance_scaling(2 * gain**2 / (1 + _SLOPE**2), "fan_in", "normal")
        hidden = nn.leaky_relu(self.precision.dense(width, kernel_init=kernel_init)(x), _SLOPE)
        if pictures:
            grouped = {"feature_group_count": self.groups, "kernel_init": kernel_init}
            convolution = convolution_3x3(width, self.precision, name="Conv_0", **grouped)
            hidden = nn.leaky_relu(convolution(hidden), _SLOPE)
        zeros = nn.initializers.zeros
        return x + self.precision.dense(x.shape[-1], use_bias=False, kernel_init=zeros)(hidden)


def _blocks(network: "Generator | Discriminator") -> Iterator[Block]:
    """The blocks of a network, one after another, numbered through its trunk and its stages."""
    depth, block = network.blocks + network.stage_blocks * len(network.channels), network.remat.of(Block)
    how = depth, network.expansion, network.groups, network.precision
    return (block(*how, name=f"Block_{n}") for n in itertools.count())


def _resized(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "bilinear")


class Generator(nn.Module):
    """Latent and condition to a picture: a trunk of vectors, its linear map to the coarsest stage, then stages up.

    Without stages the trunk maps to the picture itself: on small pictures and a CPU, whose convolutions are slow, that
    learns most in the time.
    """

    width: int = 128  # of the trunk
    blocks: int = 2  # of the trunk
    channels: tuple[int, ...] = ()  # of each stage's resolution from the coarsest; the last is the picture's own
    stage_blocks: int = 0  # convolutional ones, of each stage
    patch: int = 1  # pixels a side of the squares that the last stage makes at once: fewer places, less time
    expansion: int = 2  # a branch's width over its block's
    groups: int = 1  # of each 3x3 convolution: the paper has groups of 16 or 32 features; a CPU computes a dense one
    latent: int = 32
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    text: TextEncoder = TextEncoder()  # of a sentence that is given
    image: tuple[int, int, int] | None = None  # H, W, C, from the data

    def __post_init__(self):
        check_sizes(self)
        if self.latent < 1:
            raise UserError(f"generator.latent is {self.latent}; give at least 1")
        super().__post_init__()

    def sized(self, image: tuple[int, int, int]) -> "Generator":
        """For pictures [H, W, C]; UserError where they do not suit its stages."""
        _check_groups(self)
        resolutions(image, len(self.channels), self.patch)
        return self.clone(image=image)

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"], condition: Condition | None) -> Float[Array, "B H W C"]:
        """Pictures around [-1, 1], not bounded to it."""
        dense, to_picture = self.precision.dense, functools.partial(self.precision.output, name="to_picture")
        blocks = _blocks(self)
        if condition is not None:
            seen = embedded(condition, self.latent, self.text, self.precision, _unit_embedding)
            z = jnp.concatenate([z, seen], axis=-1)  # [B, 2Z]
        x = dense(self.width, name="from_latent")(z)  # [B, D]
        for _ in range(self.blocks):
            x = next(blocks)(x)
        if not self.channels:
            return to_picture(math.prod(self.image))(x).reshape(-1, *self.image)
        sizes = resolutions(self.image, len(self.channels), self.patch)
        coarsest = (*sizes[0], self.channels[0])
        x = dense(math.prod(coarsest), name="to_stage_0")(x).reshape(-1, *coarsest)
        for stage, (size, channels) in enumerate(zip(sizes, self.channels, strict=True)):
            if stage:
                x = _resized(dense(channels, use_bias=False, name=f"to_stage_{stage}")(x), size)  # [B, 2H, 2W, C]
            for _ in range(self.stage_blocks):
                x = next(blocks)(x)
        return unfolded(to_picture(self.image[2] * self.patch**2)(x), self.patch)


class Discriminator(nn.Module):
    """A picture and its condition to one number, the higher the more real: the generator's mirror image.

    The condition enters as a projection (arXiv 1802.05637): the output is the product of the picture's features and the
    condition's embedding.
    """

    width: int = 128
    blocks: int = 2
    channels: tuple[int, ...] = ()  # of each stage's resolution from the coarsest, as in the generator
    stage_blocks: int = 0
    patch: int = 1  # pixels a side of the squares that the first stage reads at once
    expansion: int = 2
    groups: int = 1
    features: int = 64  # that the condition is compared with
    pooled: bool = False  # a mean over the last stage's places: where in a picture things are does not matter
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    text: TextEncoder = TextEncoder()

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    def sized(self, image: tuple[int, int, int]) -> "Discriminator":
        """For pictures [H, W, C]; UserError where they do not suit its stages."""
        if self.pooled and not self.channels:
            raise UserError("pooled is a mean over places, which a discriminator without stages has not; set channels")
        _check_groups(self)
        resolutions(image, len(self.channels), self.patch)
        return self

    @nn.compact
    def __call__(self, picture: Float[Array, "B H W C"], condition: Condition | None) -> Float[Array, "B"]:
        dense, output = self.precision.dense, functools.partial(self.precision.output, use_bias=False)
        blocks, x = _blocks(self), picture
        sizes = resolutions(picture.shape[1:], len(self.channels), self.patch)
        x = folded(x, self.patch) if sizes else x
        for size, channels in zip(reversed(sizes), reversed(self.channels), strict=True):
            x = dense(channels, use_bias=False)(_resized(x, size))  # [B, H, W, C], then [B, H/2, W/2, C]
            for _ in range(self.stage_blocks):
                x = next(blocks)(x)
        if self.pooled:
            x = nn.leaky_relu(dense(self.width, name="from_place")(x), _SLOPE).mean(axis=(1, 2))
        x = dense(self.width, name="from_picture")(x.reshape(x.shape[0], -1))  # [B, D]
        for _ in range(self.blocks):
            x = next(blocks)(x)
        if condition is None:
            return output(1, name="to_output")(x)[:, 0]
        features = output(self.features, name="to_features")(x)
        embedding = embedded(condition, self.features, self.text, self.precision, _unit_embedding)
        return jnp.sum(features * embedding, axis=-1) / jnp.sqrt(self.features)
