"""The frozen feature nets that ship: what Fréchet distance, precision, recall and rewards look through."""
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
from jaxgen.ops.pixel_blocks import folded
from jaxgen.types import Params

SHAPE, LEVELS, CLASSES = (8, 8, 1), 17, 10  # of a digit's picture, its pixels, and the digits
_WEIGHTS = Path(__file__).parent / "weights"
_AT_ONCE = 2048  # pictures


class DigitsNet(nn.Module):
    """A small convolutional classifier of digits; its features are the activations below the last layer."""

    levels = LEVELS

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Levels [B, 8, 8, 1], integer or float, to features [B, 48] and logits [B, 10]."""
        x = to_unit(images, LEVELS)
        x = nn.gelu(nn.Conv(16, (3, 3))(x))
        x = nn.gelu(nn.Conv(32, (3, 3))(x))
        x = nn.avg_pool(x, (2, 2), strides=(2, 2))  # [B, 4, 4, 32]
        x = nn.gelu(nn.Conv(32, (3, 3))(x))
        features = nn.gelu(nn.Dense(48)(x.reshape(x.shape[0], -1)))
        return features, nn.Dense(CLASSES)(features)


class PictureNet(nn.Module):
    """A convolutional classifier of larger pictures; its features are the activations below the last layer.

    Squares of 2x2 pixels are folded into features, then come two 3x3 convolutions for each of `channels`, and each time
    a halving of the sides; the last grid is flattened.
    """

    channels: tuple[int, ...]
    features: int = 64
    classes: int = 10
    levels: int = 256

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Levels [B, H, W, C], integer or float, to features [B, features] and logits [B, classes]."""
        x = folded(to_unit(images, self.levels), 2)
        for channels in self.channels:
            x = nn.gelu(nn.Conv(channels, (3, 3))(x))
            x = nn.gelu(nn.Conv(channels, (3, 3))(x))
            x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        features = nn.gelu(nn.Dense(self.features)(x.reshape(x.shape[0], -1)))
        return features, nn.Dense(self.classes)(features)


NETS = {  # a data set's name -> the net's, its kind, and the shape of its pictures
    "digits": ("digits-cnn", DigitsNet(), SHAPE),
    "mnist": ("mnist-cnn", PictureNet(channels=(32, 64)), (28, 28, 1)),
    "cifar10": ("cifar10-cnn", PictureNet(channels=(64, 128)), (32, 32, 3)),
}


def log_probabilities(params: Params, images: jax.Array) -> jax.Array:
    """[B, 10] nats: the log-probability of each digit for `images` [B, 8, 8, 1] in levels; smooth in float levels."""
    return jax.nn.log_softmax(DigitsNet().apply({"params": params}, images)[1])


@dataclass(frozen=True)
class FeatureNet:
    """A frozen net with the name that its measures carry."""

    name: str  # "digits-cnn-1a2b": the first four hex digits are of the weights' SHA-256
    net: nn.Module
    params: Params

    def features(self, images: np.ndarray) -> np.ndarray:
        """[N, D] float32 features of `images` [N, H, W, C] in levels."""
        return in_parts(lambda part: _applied(self.net, self.params, part)[0], images, _AT_ONCE)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """[N, classes] float32 probability of each class for `images` [N, H, W, C] in levels."""
        return in_parts(lambda part: jax.nn.softmax(_applied(self.net, self.params, part)[1]), images, _AT_ONCE)


@functools.partial(jax.jit, static_argnums=0)
def _applied(net: nn.Module, params: Params, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return net.apply({"params": params}, images)


def decode(data: str, weights: bytes) -> FeatureNet:
    """The net for a data set of a safetensors file's bytes; SafetensorError when they are none."""
    kind, net, _ = NETS[data]
    name, arrays = decoded(kind, weights)
    return FeatureNet(name, net, unflatten_dict(arrays, sep="/"))


@functools.cache
def load(data: str, shape: tuple[int, ...] | None = None, levels: int | None = None) -> FeatureNet | None:
    """The net that ships for a data set's pictures [H, W, C], of so many levels, where they are said.

    None for a set without one, and for pictures of another size: pixels alone are measured then.
    """
    if data not in NETS:
        return None
    kind, net, own = NETS[data]
    if shape not in (None, own) or levels not in (None, net.levels):
        return None
    return decode(data, (_WEIGHTS / f"{kind}.safetensors").read_bytes())
