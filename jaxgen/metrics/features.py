"""The frozen feature net for handwritten digits: what Frechet distance, precision, recall and rewards look through."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgen.ops.levels import to_unit
from jaxgen.types import Params

SHAPE, LEVELS, CLASSES = (8, 8, 1), 17, 10  # of a digit's picture, its pixels, and the digits
_WEIGHTS = {"digits": Path(__file__).parent / "weights" / "digits-cnn.safetensors"}


class DigitsNet(nn.Module):
    """A small convolutional classifier of digits; its features are the activations below the last layer."""

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


def log_probabilities(params: Params, images: jax.Array) -> jax.Array:
    """[B, 10] nats: the log-probability of each digit for `images` [B, 8, 8, 1] in levels; smooth in float levels."""
    return jax.nn.log_softmax(DigitsNet().apply({"params": params}, images)[1])


_features = jax.jit(lambda params, images: DigitsNet().apply({"params": params}, images)[0])
_probabilities = jax.jit(lambda params, images: jax.numpy.exp(log_probabilities(params, images)))


@dataclass(frozen=True)
class FeatureNet:
    """A frozen net with the name that its measures carry."""

    name: str  # "digits-cnn-1a2b": the first four hex digits are of the weights' SHA-256
    params: Params

    def features(self, images: np.ndarray) -> np.ndarray:
        """[N, 48] float32 features of `images` [N, 8, 8, 1] in levels 0 .. 16."""
        return np.asarray(_features(self.params, images))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """[N, 10] float32 probability of each digit for `images` [N, 8, 8, 1] in levels 0 .. 16."""
        return np.asarray(_probabilities(self.params, images))


def encode(params: Params) -> bytes:
    """The weights as a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.asarray(array) for name, array in flatten_dict(params, sep="/").items()})


def decode(weights: bytes) -> FeatureNet:
    """The net of a safetensors file's bytes; SafetensorError when they are none."""
    from safetensors.numpy import load as load_tensors

    return FeatureNet(
        name=f"digits-cnn-{hashlib.sha256(weights).hexdigest()[:4]}",
        params=unflatten_dict(load_tensors(weights), sep="/"),
    )


@functools.cache
def load(data: str) -> FeatureNet | None:
    """The net that ships for the data set of that name; None for a set without one, which pixel space then measures."""
    return decode(_WEIGHTS[data].read_bytes()) if data in _WEIGHTS else None
