"""The frozen feature net of clips that ships: what the Fréchet video distance looks through."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from jaxgen.metrics.shipped_nets import decoded, in_parts
from jaxgen.ops.levels import to_unit
from jaxgen.types import Params

DATA, SHAPE, LEVELS, CLASSES = "digits", (16, 32, 32, 1), 17, 10  # the digits' set, its clips, their levels
KIND = "moving-digits-cnn3d"
WEIGHTS = Path(__file__).parent / "weights" / f"{KIND}.safetensors"
_AT_ONCE = 256  # clips
_FRAMES, _SIDE = 2, 4  # of the blocks of pixels that are read at once


class MovingDigitsNet(nn.Module):
    """A small convolutional net over space and time that tells which digits a clip shows and how fast each moves.

    Blocks of 2 frames and 4x4 pixels are folded into features, then come two 3x3x3 convolutions; its features are the
    activations below the last layer.
    """

    @nn.compact
    def __call__(self, clips: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Levels [B, 16, 32, 32, 1], integer or float, to features [B, 48], and [B, 10] log-odds and [B, 10, 2] speeds.

        The log-odds are of each digit being there, the speeds those of the digits that are, at frame 8 of 0 .. 15.
        """
        x = nn.gelu(nn.Dense(48)(_folded(to_unit(clips, LEVELS))))
        x = nn.gelu(nn.Conv(32, (3, 3, 3))(x))  # [B, 8, 8, 8, 32]
        x = nn.avg_pool(x, (2, 2, 2), strides=(2, 2, 2))
        x = nn.gelu(nn.Conv(40, (3, 3, 3))(x))  # [B, 4, 4, 4, 40]
        x = nn.Dense(8)(x)
        features = nn.gelu(nn.Dense(48)(x.reshape(x.shape[0], -1)))
        speeds = nn.Dense(2 * CLASSES)(features).reshape(-1, CLASSES, 2)
        return features, (nn.Dense(CLASSES)(features), speeds)


def _folded(clips: jax.Array) -> jax.Array:
    """[B, T / 2, H / 4, W / 4, 32 C]: the pixels of a block one after another."""
    count, frames, height, width, channels = clips.shape
    sides = frames // _FRAMES, _FRAMES, height // _SIDE, _SIDE, width // _SIDE, _SIDE, channels
    x = clips.reshape(count, *sides).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(*x.shape[:4], -1)


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
