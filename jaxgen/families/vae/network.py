"""Encoder, decoder and prior: residual blocks of dense layers, each told the class."""
# SPDX-License-Identifier: Apache-2.0

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.nn.dropout import dropped, numbered, numbered_each
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.ops.distributions import LogisticMixture, normal_log_density

_LARGEST_LOG_STD = 5.0  # of a posterior, either way: beyond it float32's squares gain nothing and may overflow
_LARGEST_LOG_STRETCH = 2.0  # of one coupling layer, either way


class Block(nn.Module):
    """A residual branch of two dense layers that adds nothing at first."""

    dropout: float
    precision: Precision

    @nn.compact
    def __call__(self, x: Float[Array, "B D"], keys: jax.Array | None) -> tuple[Float[Array, "B D"], None]:
        hidden = nn.silu(self.precision.dense(x.shape[-1])(nn.LayerNorm()(x)))
        hidden = dropped(hidden, self.dropout, keys)
        return x + self.precision.dense(x.shape[-1], kernel_init=nn.initializers.zeros)(hidden), None


class Trunk(nn.Module):
    """Numbers [B, N] and a class to features [B, width]; `keys` [B] draw each row's dropout, None drops nothing.

    `scan` compiles one block and loops over all; their parameters are then stacked, `blocks` with a leading axis.
    """

    width: int
    blocks: int
    dropout: float
    precision: Precision
    remat: Remat
    scan: bool
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None, keys: jax.Array | None) -> jax.Array:
        block = self.remat.of(Block)
        x = self.precision.dense(self.width, name="input")(x)  # [B, D]
        if self.classes:
            x = x + nn.Embed(self.classes + 1, self.width, name="class")(label).astype(x.dtype)
        if self.scan:
            loop = self.remat.scanned(Block, self.blocks, 1)
            x, _ = loop(self.dropout, self.precision, name="blocks")(x, numbered_each(keys, self.blocks))
        else:
            for number in range(self.blocks):
                x, _ = block(self.dropout, self.precision, name=f"block_{number}")(x, numbered(keys, number))
        return nn.silu(nn.LayerNorm(name="norm")(x))


class Encoder(nn.Module):
    """A picture and its class to the posterior over the latent: a normal distribution with a diagonal covariance."""

    width: int = 256
    blocks: int = 2
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    scan: bool = False
    latent: int = 0  # Z, the decoder's
    classes: int = 0  # from the data; label `classes` is "of any class"

    @nn.compact
    def __call__(
        self, picture: Float[Array, "B H W C"], label: Int[Array, "B"] | None, keys: jax.Array | None = None
    ) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
        """Mean and log standard deviation, for pictures in [-1, 1]."""
        how = self.precision, self.remat, self.scan
        trunk = Trunk(self.width, self.blocks, self.dropout, *how, self.classes, name="trunk")
        x = trunk(picture.reshape(len(picture), -1), label, keys)
        x = self.precision.answer(2 * self.latent, name="posterior")(x)
        mean, log_std = jnp.split(x, 2, axis=-1)
        return mean, _LARGEST_LOG_STD * jnp.tanh(log_std / _LARGEST_LOG_STD)


class Decoder(nn.Module):
    """A latent and its class to a mixture of discretised logistics for every pixel's every channel."""

    width: int = 256
    blocks: int = 2
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    scan: bool = False
    latent: int = 32  # Z
    components: int = 3  # of the mixture
    image: tuple[int, int, int] | None = None  # H, W, C, from the data
    levels: int = 0  # from the data
    classes: int = 0  # from the data; label `classes` is "of any class"

    @nn.compact
    def __call__(
        self, z: Float[Array, "B Z"], label: Int[Array, "B"] | None, keys: jax.Array | None = None
    ) -> LogisticMixture:
        """Mixtures with arrays [B, H, W, C, K], in levels."""
        how = self.precision, self.remat, self.scan
        trunk = Trunk(self.width, self.blocks, self.dropout, *how, self.classes, name="trunk")
        x, size = trunk(z, label, keys), math.prod(self.image) * self.components
        kernel_init = nn.initializers.variance_scaling(0.1, "fan_in", "normal")
        x = self.precision.answer(3 * size, kernel_init=kernel_init, name="likelihood")(x)
        logits, mean, log_scale = jnp.moveaxis(x.reshape(-1, *self.image, self.components, 3), -1, 0)
        half = (self.levels - 1) / 2
        spread = jnp.linspace(-1.0, 1.0, self.components + 2)[1:-1]  # equal components would stay equal
        return LogisticMixture(logits, half * (1.0 + spread + mean), math.log(self.levels / 8) + log_scale)


class Coupling(nn.Module):
    """Shift and log stretch for one half of a vector, from the other half and the class; both 0 at first."""

    width: int
    classes: int

    @nn.compact
    def __call__(self, kept: jax.Array, label: jax.Array | None, size: int) -> tuple[jax.Array, jax.Array]:
        x = nn.Dense(self.width, name="input")(kept)
        if self.classes:
            x = x + nn.Embed(self.classes + 1, self.width, name="class")(label)
        x = nn.silu(nn.Dense(self.width, name="hidden")(nn.silu(x)))
        moved = nn.Dense(2 * size, kernel_init=nn.initializers.zeros, name="output")(x)
        shift, log_stretch = jnp.split(moved, 2, axis=-1)
        return shift, _LARGEST_LOG_STRETCH * jnp.tanh(log_stretch / _LARGEST_LOG_STRETCH)


class Prior(nn.Module):
    """A density over latents under a class: standard normal numbers `u` through affine couplings (arXiv 1605.08803).

    The last map is a shift and a stretch of the class's own; without couplings they make it a normal distribution. A
    density is all that it computes, and so it is float32.
    """

    layers: int = 4
    width: int = 64
    latent: int = 0  # Z, the decoder's
    classes: int = 0  # from the data; label `classes` is "of any class"

    def setup(self):
        self.couplings = [Coupling(self.width, self.classes) for _ in range(self.layers)]
        self.affine = nn.Embed(self.classes + 1, 2 * self.latent, embedding_init=nn.initializers.zeros)

    def log_prob(self, z: Float[Array, "B Z"], label: Int[Array, "B"] | None) -> Float[Array, "B"]:
        """[B] nats, exact."""
        u, log_determinant = self.to_base(z, label)
        zero = jnp.zeros_like(u)
        return normal_log_density(u, zero, zero) + log_determinant

    def to_base(self, z: jax.Array, label: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Undo `from_base`; with u [B, Z], log |det du/dz| [B]."""
        shift, log_stretch = self._affine(z, label)
        u = (z - shift) * jnp.exp(-log_stretch)
        log_determinant = -jnp.sum(log_stretch, axis=-1)
        for number in reversed(range(self.layers)):
            kept, moved = self._halves(u, number)
            shift, log_stretch = self.couplings[number](kept, label, moved.shape[-1])
            u = self._whole(kept, (moved - shift) * jnp.exp(-log_stretch), number)
            log_determinant = log_determinant - jnp.sum(log_stretch, axis=-1)
        return u, log_determinant

    def from_base(self, u: jax.Array, label: jax.Array | None) -> jax.Array:
        """Latents [B, Z] from standard normal numbers [B, Z]."""
        for number in range(self.layers):
            kept, moved = self._halves(u, number)
            shift, log_stretch = self.couplings[number](kept, label, moved.shape[-1])
            u = self._whole(kept, moved * jnp.exp(log_stretch) + shift, number)
        shift, log_stretch = self._affine(u, label)
        return u * jnp.exp(log_stretch) + shift

    def _affine(self, z: jax.Array, label: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        label = jnp.zeros(len(z), jnp.int32) if label is None else label
        return tuple(jnp.split(self.affine(label), 2, axis=-1))

    def _halves(self, x: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
        """(kept, moved) by layer `number`: the halves take turns."""
        first, second = jnp.split(x, [self.latent // 2], axis=-1)
        return (first, second) if number % 2 == 0 else (second, first)

    def _whole(self, kept: jax.Array, moved: jax.Array, number: int) -> jax.Array:
        """Undo `_halves`."""
        return jnp.concatenate((kept, moved) if number % 2 == 0 else (moved, kept), axis=-1)
