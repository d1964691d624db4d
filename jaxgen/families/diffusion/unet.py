"""A U-Net of residual convolutions, noise level and condition in its norms (DDPM++, arXiv 2011.13456, 2206.00364)."""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.families.diffusion.noise_features import noise_condition
from jaxgen.families.diffusion.text_attention import Text, TextAttention
from jaxgen.nn.conditions import Condition
from jaxgen.nn.convolution_3x3 import convolution_3x3
from jaxgen.nn.multi_head_attention import SelfAttention
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.ops.convolution import convolution
from jaxgen.ops.pixel_blocks import folded, unfolded
from jaxgen.ops.stored import stored

_EPS = 1e-6
_HALF = math.sqrt(0.5)  # keeps the variance of a sum of two branches


class Norm(enum.Enum):
    """Over what features are brought to mean 0 and variance 1."""

    GROUP = "group"  # groups of channels over the whole picture (arXiv 1803.08494): for pictures of one size
    PIXEL = "pixel"  # all channels of each pixel: no pixel depends on those far away, so that any size will do


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip, [B, H, W, C] to [B, H', W', features], then attention where `heads` is not 0.

    `scale` 2 doubles the sides by repeating pixels, 0.5 halves them by averaging, on both branches: no strided and no
    transposed convolution, whose gradients are slow on CPUs and whose outputs show checkerboards.
    """

    features: int
    heads: int
    scale: float
    norm: Norm
    precision: Precision

    @nn.compact
    def __call__(
        self, x: jax.Array, condition: jax.Array, kept: jax.Array | float, text: Text | None = None
    ) -> jax.Array:
        """`condition` [B, D] shifts and scales; `kept` [B, 1, 1, features] is 0 where a feature is dropped, or 1."""
        conv = functools.partial(convolution_3x3, precision=self.precision)
        h = _resized(nn.silu(_Norm(self.norm, name="norm_in")(x)), self.scale)
        h = conv(self.features, name="conv_in")(h)
        zeros = nn.initializers.zeros
        modulation = self.precision.dense(2 * self.features, kernel_init=zeros, name="modulation")(condition)
        h = nn.silu(_Norm(self.norm, name="norm_out")(h, *jnp.split(modulation, 2, axis=-1)))
        h = conv(self.features, kernel_init=zeros, name="conv_out")(h * kept)
        skip = _resized(x, self.scale)
        if x.shape[-1] != self.features:
            skip = self.precision.dense(self.features, dot_general=_pixels_product, name="skip")(skip)
        known = self.variables["params"]["norm_in"]["scale"]
        h = stored((skip.astype(h.dtype) + h) * _HALF, known)
        if not self.heads:
            return h
        attention = SelfAttention(self.heads, precision=self.precision, name="attention")
        normed = _Norm(self.norm, name="norm_attention")(h)
        branch, _ = attention(normed.reshape(len(h), -1, self.features))
        h = stored((h + branch.reshape(h.shape)) * _HALF, known)
        if text is None:
            return h
        told = TextAttention(self.heads, self.precision, name="text_attention")
        return h + told(h.reshape(len(h), -1, self.features), condition, text).reshape(h.shape)


class UNet(nn.Module):
    """`outputs` numbers for each channel of each pixel of a noisy picture; zeros from an untrained network.

    Level l has `width` * `widths[l]` features on a grid 2^l times as coarse as that of the first, whose cells are
    squares of `patch` pixels, and `blocks` blocks on the way down, one more on the way up. The levels of `attention`
    have it, `heads` heads each. A prompt is read by `text`: its vector joins the condition, and those levels attend to
    its places. `dropout` acts on the features between a block's convolutions, one mask a row. The last two fields come
    from the task.
    """

    width: int = 32
    widths: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = ()
    heads: int = 1
    patch: int = 1
    norm: Norm = Norm.GROUP
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    text: TextEncoder = TextEncoder()
    image: tuple[int, int, int] | None = None  # H, W, C
    outputs: int = 1

    def __post_init__(self):
        check_sizes(self)
        if not self.widths or min(self.widths) < 1 or self.patch < 1 or self.blocks < 1:
            raise UserError(
                f"network.widths is {self.widths}, patch {self.patch} and blocks {self.blocks}; give one width or "
                "more, and each at least 1"
            )
        if not set(self.attention) <= set(range(len(self.widths))):
            raise UserError(f"network.attention is {self.attention}; give levels from 0 to {len(self.widths) - 1}")
        super().__post_init__()

    @property
    def multiple(self) -> int | None:
        """Both sides of a picture are multiples of it, and all such pictures will do; None: `image` alone."""
        local = self.norm is Norm.PIXEL and not self.attention
        return self._unit if local else None

    @property
    def _unit(self) -> int:
        return self.patch * 2 ** (len(self.widths) - 1)

    def check(self, image: tuple[int, int, int]) -> None:
        """UserError when pictures of this size cannot be halved from level to level, or a width not cut into heads."""
        if image[0] % self._unit or image[1] % self._unit:
            raise UserError(
                f"a UNet of {len(self.widths)} levels and patch {self.patch} takes pictures whose sides are multiples "
                f"of {self._unit}, and these are {image[0]}x{image[1]}; set network.widths to fewer, or another patch"
            )
        for level in self.attention:
            if self.width * self.widths[level] % self.heads:
                raise UserError(f"network.heads is {self.heads}, which does not divide the width of level {level}")

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B H W C"],
        c_noise: Float[Array, "B"],
        given: Condition | None,
        keys: jax.Array | None = None,
    ) -> Float[Array, "B H W C outputs"]:
        """`keys` [B] draw each row's dropout; None drops nothing."""
        *text, vector = (None,) if given is None or given.sequence is None else self.text(given.sequence)
        through = self._blocks(self._condition(c_noise, given, vector), text or None, keys)
        h = convolution_3x3(self.width * self.widths[0], precision=self.precision, name="in")(folded(x, self.patch))
        skips = [h]
        for level in range(len(self.widths)):
            if level:
                h = through(f"down_{level}", h, level, 0.5)
                skips.append(h)
            for number in range(self.blocks):
                h = through(f"down_{level}_{number}", h, level)
                skips.append(h)
        h = through("middle_0", h, len(self.widths) - 1)
        h = through("middle_1", h, len(self.widths) - 1)
        for level in reversed(range(len(self.widths))):
            for number in range(self.blocks + 1):
                h = through(f"up_{level}_{number}", jnp.concatenate([h, skips.pop()], axis=-1), level)
            if level:
                h = through(f"up_{level}", h, level - 1, 2)
        h = nn.silu(_Norm(self.norm, name="norm")(h))
        features = self.patch**2 * x.shape[-1] * self.outputs
        out = convolution_3x3(features, Precision.FLOAT32, kernel_init=nn.initializers.zeros, name="out")(h)
        return unfolded(out, self.patch).reshape(*x.shape, self.outputs)

    def _condition(self, c_noise: jax.Array, given: Condition | None, text: jax.Array | None) -> jax.Array:
        """[B, 4 * width]: what the blocks are told of noise level and condition."""
        condition = noise_condition(4 * self.width, self.precision, c_noise, given)
        if text is not None:
            condition += self.precision.dense(4 * self.width, name="text_vector")(text)
        return nn.silu(condition)

    def _blocks(
        self, condition: jax.Array, text: Text | None, keys: jax.Array | None
    ) -> Callable[..., jax.Array]:
        """A function that sends features through a block of a name and a level; each has a dropout of its own."""
        kind, drawn = self.remat.of(ResidualBlock), itertools.count()

        def through(name: str, h: jax.Array, level: int, scale: float = 1) -> jax.Array:
            features, heads = self.width * self.widths[level], self.heads if level in self.attention else 0
            block = kind(features, heads if scale == 1 else 0, scale, self.norm, self.precision, name=name)
            return block(h, condition, self._kept(keys, next(drawn), features), text)

        return through

    def _kept(self, keys: jax.Array | None, number: int, features: int) -> jax.Array | float:
        """[B, 1, 1, features]: 0 for the features that are dropped, the others scaled up; 1 drops nothing."""
        if keys is None or self.dropout == 0:
            return 1.0
        share = 1 - self.dropout
        drawn = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, number), share, (features,)))(keys)
        return (drawn / share).astype(self.precision.dtype)[:, None, None]


class _Norm(nn.Module):
    """[B, H, W, C] in float32, of mean 0 and variance 1 over what `norm` says, then scaled and shifted.

    Then each row's features by `shift` and 1 + `more` of its own, [B, C], if given.
    """

    norm: Norm

    @nn.compact
    def __call__(self, x: jax.Array, shift: jax.Array | float = 0.0, more: jax.Array | float = 0.0) -> jax.Array:
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        if self.norm is Norm.PIXEL:
            x32 = x.astype(jnp.float32)
            x32 = x32 - x32.mean(axis=-1, keepdims=True)
            normed = x32 * jax.lax.rsqrt(jnp.mean(x32**2, axis=-1, keepdims=True) + _EPS)
            gain, rest = jnp.broadcast_arrays(scale * (1 + more), bias * (1 + more) + shift)
            gain, rest = (each.reshape(-1, 1, 1, features) for each in (gain, rest))
            return (normed * gain + rest).astype(x.dtype)
        mean, variance = _of_groups(x.astype(jnp.float32))
        gain = scale * jax.lax.rsqrt(variance + _EPS)  # [B, C]: one multiplication and one addition a feature
        gain, rest = stored(gain * (1 + more), scale), stored((bias - mean * gain) * (1 + more) + shift, scale)
        return (x * gain[:, None, None] + rest[:, None, None]).astype(x.dtype)


def _of_groups(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance [B, C] of each feature's group over the picture [B, H, W, C].

    By sums of each feature: a reduction over the few features of a group is slow on CPUs.
    """
    size, features = x.shape[0], x.shape[-1]
    groups = math.gcd(features, max(1, min(32, features // 4)))

    def shared(each: jax.Array) -> jax.Array:
        means = each.reshape(size, groups, -1).mean(axis=-1, keepdims=True)
        return jnp.broadcast_to(means, (size, groups, features // groups)).reshape(size, features)

    mean, square = shared(x.mean(axis=(1, 2))), shared(jnp.mean(x**2, axis=(1, 2)))
    return mean, jnp.maximum(square - mean**2, 0)


def _pixels_product(x: jax.Array, kernel: jax.Array, *_, **__) -> jax.Array:
    """A Dense layer's product for pictures [B, H, W, C]: a 1x1 convolution, for its faster gradient on CPUs."""
    return convolution(x, kernel[None, None])


def _resized(x: jax.Array, scale: float) -> jax.Array:
    """[B, H, W, C] with its sides doubled by repeating pixels, halved by averaging, or as it is."""
    size, height, width, channels = x.shape
    if scale == 2:
        repeated = jnp.broadcast_to(x[:, :, None, :, None], (size, height, 2, width, 2, channels))
        return repeated.reshape(size, 2 * height, 2 * width, channels)
    if scale == 0.5:
        return x.reshape(size, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    return x
