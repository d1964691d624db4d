"""The frozen feature net of clips that ships: what the Fréchet video distance looks through."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from jaxgen.metrics.shipped_nets import decoded, in_parts
from jaxgen.ops.levels import to_unit
from jaxgen.types import Params

DATA, SHAPE, LEVELS, CLASSES = "digits", (16, 32, 32, 1), 17, 10  # the digits' set, its clips, their levels
KIND = "moving-digits-cnn3d"
WEIGHTS = Path(__file__).parent / "weights" / f"{KIND}.safetensors"
_AT_ONCE = 256  # clips


class MovingDigitsNet(nn.Module):
    """A small convolutional net over space and time that tells which digits a clip shows and how fast they move.

    Halvings are cubes of 2x2x2 places folded into features: steps of more than 1 are slow to train on CPUs.
    Its features are the activations below the last layers, of each channel's mean and largest value: where in a clip a
    digit is does not matter to them.
    """

    @nn.compact
    def __call__(self, clips: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Levels [B, 16, 32, 32, 1], integer or float, to features [B, 48], and [B, 10] log-odds and [B, 2] speeds.

        The log-odds are of each digit being there; the speeds along both axes, without their signs and in pixels a
        frame, are the mean over the digits.
        """
        x = nn.gelu(nn.Conv(24, (3, 3, 3))(_folded(to_unit(clips, LEVELS))))  # [B, 8, 16, 16, 24]
        x = nn.gelu(nn.Dense(40)(_folded(x)))  # [B, 4, 8, 8, 40]
        x = nn.gelu(nn.Conv(64, (1, 3, 3))(x))
        x = jnp.concatenate([x.mean(axis=(1, 2, 3)), x.max(axis=(1, 2, 3))], axis=-1)
        features = nn.gelu(nn.Dense(48)(x))
        return features, (nn.Dense(CLASSES)(features), nn.Dense(2)(features))


def _folded(x: jax.Array) -> jax.Array:
    """[B, T, H, W, C] to [B, T / 2, H / 2, W / 2, 8 C]: cubes of 2x2x2 places as features."""
    count, frames, height, width, channels = x.shape
    x = x.reshape(count, frames // 2, 2, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(*x.shape[:4], 8 * channels)


@dataclass(frozen=True)
class ClipNet:
    """A frozen net with the name that its measures carry."""

    name: str  # "moving-digits-cnn3d-1a2b": the first four hex digits are of the weights' SHA-256
    params: Params

    def features(self, clips: np.ndarray) -> np.ndarray:
        """[N, 48] float32 features of `clips` [N, T, H, W, C] in levels."""
        return in_parts(lambda part: _applied(self.params, part)[0], clips, _AT_ONCE)

    def kinds(self, clips: np.ndarray) -> np.ndarray:
        """[N, 10] float32 log-odds of each digit being in `clips` [N, T, H, W, C] in levels."""
        return in_parts(lambda part: _applied(self.params, part)[1][0], clips, _AT_ONCE)

    def speeds(self, clips: np.ndarray) -> np.ndarray:
        """[N, 10, 2] float32 pixels a frame, at frame 8, of the digits that are in `clips` [N, T, H, W, C]."""
        return in_parts(lambda part: _applied(self.params, part)[1][1], clips, _AT_ONCE)


@jax.jit
def _applied(params: Params, clips: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return MovingDigitsNet().apply({"params": params}, clips)


def decode(weights: bytes) -> ClipNet:
    """The net of a safetensors file's bytes; SafetensorError when they are none."""
    name, arrays = decoded(KIND, weights)
    return ClipNet(name, unflatten_dict(arrays, sep="/"))


@functools.cache
def load(data: str, shape: tuple[int, ...], levels: int) -> ClipNet | None:
    """The net that ships for a data set's clips [T, H, W, C] of so many levels; None for others."""
    return decode(WEIGHTS.read_bytes()) if (data, shape, levels) == (DATA, SHAPE, LEVELS) else None
