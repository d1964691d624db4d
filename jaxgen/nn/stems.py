"""The first layers over what is given, which make it a sequence of vectors: of a recording, and of a picture.

A stem's output is the same whatever a row is padded to, and at any place it depends on a bounded stretch of the input
alone, so that a recording can be read piece by piece as it comes.
"""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.initializers import normal

from jaxgen.errors import UserError
from jaxgen.nn.dropout import numbered
from jaxgen.nn.precision import Precision
from jaxgen.nn.sound import Features, LogMel, SpecAugment
from jaxgen.ops.pixel_blocks import folded

_CENTRE, _SCALE = -6.0, 5.0  # nats; between silence and full scale: what follows sees numbers around 0


class SpeechStem(nn.Module):
    """Log-mel features through convolutions over time (3 wide, stride 2), [B, N] samples -> [B, S, features].

    A place of S is `subsampling` frames, 4 to 8 in the literature (arXiv 1512.02595, 2212.04356); it knows of less than
    one place before it, and of no frame after its own last. In training `augment` hides spans, and frequencies are
    multiplied by a factor even on 1 +- `vocal_tract` (ops/vocal_tract.py). `rate` comes from the data.
    """

    mels: int = 40
    window: float = 0.025  # seconds
    hop: float = 0.010  # seconds
    floor: float = 1e-6  # of a power: digital silence is no quieter
    subsampling: int = 4  # a power of two
    channels: int = 128
    augment: SpecAugment | None = SpecAugment(bands=2, band=8, times=2, time=20, fraction=0.3)
    vocal_tract: float = 0.0
    precision: Precision = Precision.FLOAT32
    rate: int = 0  # Hz

    def __post_init__(self):
        if not 0 <= self.vocal_tract < 1:
            raise UserError(f"stem.vocal_tract is {self.vocal_tract}; give a fraction from 0 up to, not including, 1")
        if self.subsampling < 2 or self.subsampling & (self.subsampling - 1):
            raise UserError(f"stem.subsampling is {self.subsampling}; give 2, 4 or another power of two")
        if self.rate:
            self.log_mel  # noqa: B018  (its settings are checked)
        super().__post_init__()

    @property
    def log_mel(self) -> LogMel:
        return LogMel(self.rate, self.window, self.hop, self.mels, floor=self.floor)

    def places(self, samples: int) -> int:
        """S of a wave of so many samples."""
        return -(-self.log_mel.frames(samples) // self.subsampling)

    def __call__(
        self, wave: jax.Array, mask: jax.Array, features: int, keys: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """[B, S, features] and the places [B, S] that are a row's own; `mask` [B, N] are its own samples."""
        heard = self.log_mel(wave, mask.sum(axis=1))
        if self.vocal_tract and keys is not None:
            even = jax.vmap(jax.random.uniform)(numbered(keys, 1))
            heard = self.log_mel.of_other_voices(heard, 1 + self.vocal_tract * (2 * even - 1))
        if self.augment is not None and keys is not None:
            heard = self.augment(heard, numbered(keys, 0))
        return self.convolved(heard, features)

    def continued(self, wave: jax.Array, frames: jax.Array, features: int) -> tuple[jax.Array, jax.Array]:
        """The places of a window of a longer wave, but for the first, which only tells what is before the others.

        `wave` [B, (subsampling (K + 1) - 1) hop + window] gives K places [B, K, features]; `frames` [B, subsampling
        (K + 1)] are those that are whole and the row's own.
        """
        heard = self.log_mel(wave, jnp.full(len(wave), wave.shape[1], jnp.int32))._replace(mask=frames)
        x, mask = self.convolved(heard, features)
        return x[:, 1:], mask[:, 1:]

    @nn.compact
    def convolved(self, heard: Features, features: int) -> tuple[jax.Array, jax.Array]:
        """The same of log-mel features [B, F, mels]."""
        x, mask = (heard.features - _CENTRE) / _SCALE, heard.mask
        for number in range(self.subsampling.bit_length() - 1):
            x = jnp.where(mask[..., None], x, 0.0)
            x, mask = _threes(x), mask[:, ::2]
            x = nn.gelu(self.precision.dense(self.channels, name=f"convolution_{number}")(x))
        return self.precision.dense(features, name="out")(jnp.where(mask[..., None], x, 0.0)), mask


def _threes(x: jax.Array) -> jax.Array:
    """[B, ceil(F / 2), 3 D]: of [B, F, D] frames 2s - 1, 2s and 2s + 1 side by side, zeros beyond the ends.

    As a product a convolution's gradient is as fast on a CPU as any other; XLA's own is several times slower there.
    """
    count = -(-x.shape[1] // 2)
    padded = jnp.pad(x, ((0, 0), (1, 2 * count - x.shape[1]), (0, 0)))
    return jnp.concatenate([padded[:, start : start + 2 * count : 2] for start in range(3)], axis=-1)


class PictureStem(nn.Module):
    """Patches of a picture through a small residual network, [B, H, W, C] -> [B, h * w, features], row by row.

    `patch` pixels square become one place (arXiv 2010.11929). Before that `layers` convolutions 3 wide let each pixel
    know its neighbours. A learned vector is added for each place.
    """

    patch: int = 4
    layers: int = 0
    channels: int = 32
    hidden: int = 128
    precision: Precision = Precision.FLOAT32

    def __post_init__(self):
        if self.patch < 1 or self.layers < 0 or min(self.channels, self.hidden) < 1:
            raise UserError(f"stem.patch is {self.patch} and stem.layers {self.layers}; give at least 1, and 0 or more")
        super().__post_init__()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """How many places lie below and beside each other; UserError where patches do not fit."""
        if height % self.patch or width % self.patch:
            raise UserError(
                f"stem.patch is {self.patch}, and the pictures are {height} by {width} pixels; give a divisor of both"
            )
        return height // self.patch, width // self.patch

    @nn.compact
    def __call__(
        self, picture: jax.Array, mask: None, features: int, keys: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """[B, h * w, features], and that all places are a row's own; `picture` in [-1, 1]."""
        x = picture.astype(self.precision.dtype)
        for number in range(self.layers):
            x = nn.gelu(nn.Conv(self.channels, (3, 3), dtype=self.precision.dtype, name=f"convolution_{number}")(x))
        size, height, width, _ = x.shape
        down, across = self.grid(height, width)
        x = folded(x, self.patch).reshape(size * down * across, -1)
        x = nn.gelu(self.precision.dense(self.hidden, name="patch")(x))
        x = self.precision.dense(features, name="out")(x).reshape(size, down * across, features)
        place = self.param("place", normal(0.02), (down * across, features), jnp.float32)
        return x + place.astype(x.dtype), jnp.ones((size, down * across), bool)
