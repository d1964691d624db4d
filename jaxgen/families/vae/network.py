"""Encoder, decoder and prior: residual blocks of dense layers, each of which sees what is given."""
# SPDX-License-Identifier: Apache-2.0

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.families.vae.likelihoods import AnyLikelihood, LogisticMixtures, likelihood_layer
from jaxgen.nn.conditions import Condition, Conditioned
from jaxgen.nn.dropout import dropped, numbered, numbered_each
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.text_encoder import TextEncoder, embedded
from jaxgen.ops.distributions import PixelDistribution, normal_log_density

_LARGEST_LOG_STD = 5.0  # of a posterior or a condition's prior, either way: beyond it float32 squares may overflow
_LARGEST_LOG_STRETCH = 1.5  # of all couplings together, either way


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
    """Numbers [B, N] and a condition to features [B, width]; `keys` [B] draw each row's dropout, None drops nothing.

    `scan` compiles one block and loops over all; their parameters are then stacked, `blocks` with a leading axis.
    """

    width: int
    blocks: int
    dropout: float
    precision: Precision
    remat: Remat
    scan: bool
    text: TextEncoder  # of a sentence that is given

    @nn.compact
    def __call__(self, x: jax.Array, condition: Condition | None, keys: jax.Array | None) -> jax.Array:
        block = self.remat.of(Block)
        x = self.precision.dense(self.width, name="input")(x)  # [B, D]
        if condition is not None:
            x = x + embedded(condition, self.width, self.text, self.precision).astype(x.dtype)
        if self.scan:
            loop = self.remat.scanned(Block, self.blocks, 1)
            x, _ = loop(self.dropout, self.precision, name="blocks")(x, numbered_each(keys, self.blocks))
        else:
            for number in range(self.blocks):
                x, _ = block(self.dropout, self.precision, name=f"block_{number}")(x, numbered(keys, number))
        return nn.silu(nn.LayerNorm(name="norm")(x))


def posterior_of(x: jax.Array, latent: int, precision: Precision, name: str) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation [..., latent] of features by a dense layer; called inside a compact module."""
    mean, log_std = jnp.split(precision.output(2 * latent, name=name)(x), 2, axis=-1)
    return mean, bounded_log_std(log_std)


def bounded_log_std(log_std: jax.Array) -> jax.Array:
    return _bounded(log_std, _LARGEST_LOG_STD)


class Encoder(nn.Module):
    """A picture and its condition to the posterior over the latent: a diagonal normal distribution."""

    width: int = 256
    blocks: int = 2
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    scan: bool = False
    text: TextEncoder = TextEncoder()  # of a sentence that is given
    latent: int = 0  # Z, the decoder's

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, picture: Float[Array, "B H W C"], condition: Condition | None, keys: jax.Array | None = None
    ) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
        """Mean and log standard deviation, for pictures in [-1, 1]."""
        how = self.precision, self.remat, self.scan, self.text
        trunk = Trunk(self.width, self.blocks, self.dropout, *how, name="trunk")
        x = trunk(picture.reshape(len(picture), -1), condition, keys)
        return posterior_of(x, self.latent, self.precision, "posterior")


class Decoder(nn.Module):
    """A latent and its condition to a distribution of every pixel's every channel."""

    width: int = 256
    blocks: int = 2
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    scan: bool = False
    latent: int = 32  # Z
    components: int = 3  # of a mixture of logistics
    likelihood: AnyLikelihood | None = None  # None: mixtures of so many logistics
    text: TextEncoder = TextEncoder()
    image: tuple[int, int, int] | None = None  # H, W, C, from the data
    levels: int = 0  # from the data

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, z: Float[Array, "B Z"], condition: Condition | None, keys: jax.Array | None = None
    ) -> PixelDistribution:
        """Distributions of levels with arrays [B, H, W, C, ...]."""
        how = self.precision, self.remat, self.scan, self.text
        trunk = Trunk(self.width, self.blocks, self.dropout, *how, name="trunk")
        x = trunk(z, condition, keys)
        return likelihood_layer(self.pixels, x, self.image, self.levels, self.precision)

    @property
    def pixels(self) -> AnyLikelihood:
        return LogisticMixtures(self.components) if self.likelihood is None else self.likelihood


class Coupling(nn.Module):
    """Shift and log stretch for one half of a vector, from the other half and the condition; both 0 at first."""

    width: int
    largest: float  # log stretch, either way

    @nn.compact
    def __call__(self, kept: jax.Array, condition: Condition | None, size: int) -> tuple[jax.Array, jax.Array]:
        x = nn.Dense(self.width, name="input")(kept)
        if condition is not None:
            x = x + Conditioned(self.width, name="condition")(condition)
        x = nn.silu(nn.Dense(self.width, name="hidden")(nn.silu(x)))
        moved = nn.Dense(2 * size, kernel_init=nn.initializers.zeros, name="output")(x)
        shift, log_stretch = jnp.split(moved, 2, axis=-1)
        return shift, _bounded(log_stretch, self.largest)


class Affine(nn.Module):
    """The shift and log stretch [B, 2 Z] of a condition's own, or of all alike without one; 0 at first."""

    latent: int

    @nn.compact
    def __call__(self, z: jax.Array, condition: Condition | None) -> jax.Array:
        zeros, size = nn.initializers.zeros, 2 * self.latent
        if condition is not None:
            return Conditioned(size, zeros, name="condition")(condition)
        return jnp.broadcast_to(self.param("bias", zeros, (size,), jnp.float32), (len(z), size))


class Prior(nn.Module):
    """A density over latents under a condition: standard normal `u` through affine couplings (arXiv 1605.08803).

    The last map is a shift and a stretch of the condition's own: without couplings the prior is a normal distribution.
    A density is all that it computes, and so it is float32.
    """

    layers: int = 4
    width: int = 64
    latent: int = 0  # Z, the decoder's

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    def setup(self):
        # The couplings' stretches multiply, and the density's gradient grows with the square of their product: where
        # each may stretch by e^2, six take a small step of the parameters to latents thousands of deviations away.
        largest = _LARGEST_LOG_STRETCH / max((self.layers + 1) // 2, 1)  # a number is moved by every second one
        self.couplings = [Coupling(self.width, largest) for _ in range(self.layers)]
        self.affine = Affine(self.latent)

    def log_prob(self, z: Float[Array, "B Z"], condition: Condition | None) -> Float[Array, "B"]:
        """[B] nats, exact."""
        u, log_determinant = self.to_base(z, condition)
        zero = jnp.zeros_like(u)
        return normal_log_density(u, zero, zero) + log_determinant

    def to_base(self, z: jax.Array, condition: Condition | None) -> tuple[jax.Array, jax.Array]:
        """Undo `from_base`; with u [B, Z], log |det du/dz| [B]."""
        shift, log_stretch = self._affine(z, condition)
        u = (z - shift) * jnp.exp(-log_stretch)
        log_determinant = -jnp.sum(log_stretch, axis=-1)
        for number in reversed(range(self.layers)):
            kept, moved = self._halves(u, number)
            shift, log_stretch = self.couplings[number](kept, condition, moved.shape[-1])
            u = self._joined(kept, (moved - shift) * jnp.exp(-log_stretch), number)
            log_determinant = log_determinant - jnp.sum(log_stretch, axis=-1)
        return u, log_determinant

    def from_base(self, u: jax.Array, condition: Condition | None) -> jax.Array:
        """Latents [B, Z] from standard normal numbers [B, Z]."""
        for number in range(self.layers):
            kept, moved = self._halves(u, number)
            shift, log_stretch = self.couplings[number](kept, condition, moved.shape[-1])
            u = self._joined(kept, moved * jnp.exp(log_stretch) + shift, number)
        shift, log_stretch = self._affine(u, condition)
        return u * jnp.exp(log_stretch) + shift

    def _affine(self, z: jax.Array, condition: Condition | None) -> tuple[jax.Array, jax.Array]:
        shift, log_stretch = jnp.split(self.affine(z, condition), 2, axis=-1)
        return shift, _bounded(log_stretch, _LARGEST_LOG_STD)

    def _halves(self, x: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
        """(kept, moved) by layer `number`: the halves take turns."""
        first, second = jnp.split(x, [self.latent // 2], axis=-1)
        return (first, second) if number % 2 == 0 else (second, first)

    def _joined(self, kept: jax.Array, moved: jax.Array, number: int) -> jax.Array:
        """Undo `_halves`."""
        return jnp.concatenate((kept, moved) if number % 2 == 0 else (moved, kept), axis=-1)


def _bounded(x: jax.Array, largest: float) -> jax.Array:
    """`x` while it is small, and never beyond `largest`, either way."""
    return largest * jnp.tanh(x / largest)
