"""The frozen contrastive net for emoji and their English names: which of several names suits a picture best."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from jaxgen.metrics.shipped_nets import decoded, in_parts
from jaxgen.metrics.shipped_nets import encode as encode_arrays
from jaxgen.ops.levels import to_unit
from jaxgen.ops.pixel_blocks import folded
from jaxgen.types import Params

SIDE, LEVELS, PLACES = 32, 256, 16  # of a picture, its pixels, and the words of a name that are read
_FEATURES = 64
_WEIGHTS = {"emoji-captions en": Path(__file__).parent / "weights" / "emoji-contrastive.safetensors"}
_AT_ONCE = 512  # pictures or texts


class PictureTower(nn.Module):
    """Patches merged two by two: levels [B, 32, 32, 3], integer or float, to unit vectors [B, 64].

    The first are squares of 3 pixels that overlap. As products all gradients are fast on a CPU.
    """

    @nn.compact
    def __call__(self, pictures: jax.Array) -> jax.Array:
        x = jnp.pad(to_unit(pictures, LEVELS), ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
        places = [(row, column) for row in range(3) for column in range(3)]
        x = jnp.concatenate([x[:, r : r + SIDE - 1 : 2, c : c + SIDE - 1 : 2] for r, c in places], axis=-1)
        x = nn.gelu(nn.Dense(48)(x))  # [B, 16, 16, 48]
        while x.shape[1] > 4:
            x = nn.gelu(nn.Dense(128)(folded(x, 2)))
        x = nn.LayerNorm()(x.reshape(len(x), -1))  # [B, 4 * 4 * 128]
        return _unit(nn.Dense(_FEATURES)(x))


class TextTower(nn.Module):
    """Words [B, T], 0 where there is none, in windows of three, added up, to unit vectors [B, 64]."""

    words: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        own = (tokens > 0)[..., None]
        x = nn.Embed(self.words + 1, _FEATURES)(tokens) * own
        around = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        windows = jnp.concatenate([around[:, :-2], x, around[:, 2:]], axis=-1)
        x = jnp.where(own, x + nn.Dense(_FEATURES)(nn.gelu(nn.Dense(128)(windows))), 0.0)
        return _unit(nn.Dense(_FEATURES)(nn.LayerNorm()(x.sum(axis=1))))


class PictureText(nn.Module):
    """Both towers and the logarithm of the inverse temperature (CLIP, arXiv 2103.00020, section 2.3)."""

    words: int

    def setup(self):
        self.picture, self.text = PictureTower(), TextTower(self.words)
        self.log_scale = self.param("log_scale", nn.initializers.constant(np.log(10.0)), ())

    def __call__(self, pictures: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        return self.picture(pictures), self.text(tokens), jnp.exp(self.log_scale)


def _unit(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=-1, keepdims=True) + 1e-8)


def tokens_of(texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """[N, 16] int32: the places of a text's first words in `words`, from 1 on; a word that is not there is left out."""
    known = {word: place for place, word in enumerate(words, 1)}
    tokens = np.zeros((len(texts), PLACES), np.int32)
    for row, text in enumerate(texts):
        own = [known[word] for word in text.split() if word in known][:PLACES]
        tokens[row, : len(own)] = own
    return tokens


@dataclass(frozen=True)
class ContrastiveNet:
    """A frozen net with the words that it knows and the name that its measures carry."""

    name: str  # "emoji-contrastive-1a2b": the first four hex digits are of the weights' SHA-256
    words: tuple[str, ...]
    params: Params

    def pictures(self, pictures: np.ndarray) -> np.ndarray:
        """[N, 64] unit vectors of `pictures` [N, H, W, 3] in levels 0 .. 255, scaled to 32 x 32."""
        return in_parts(functools.partial(_pictures, self.params), pictures, _AT_ONCE)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """[N, 64] unit vectors."""
        encoder = functools.partial(_texts, len(self.words), self.params)
        return in_parts(encoder, tokens_of(texts, self.words), _AT_ONCE)


@jax.jit
def _pictures(params: Params, pictures: jax.Array) -> jax.Array:
    scaled = jax.image.resize(pictures.astype(jnp.float32), (len(pictures), SIDE, SIDE, 3), "linear")
    return PictureTower().apply({"params": params["picture"]}, scaled)


@functools.partial(jax.jit, static_argnums=0)
def _texts(words: int, params: Params, tokens: jax.Array) -> jax.Array:
    return TextTower(words).apply({"params": params["text"]}, tokens)


def encode(params: Params, words: Sequence[str]) -> bytes:
    """Weights, and the words as bytes, as a safetensors file."""
    return encode_arrays(params, words=np.frombuffer("\n".join(words).encode(), np.uint8))


def decode(weights: bytes) -> ContrastiveNet:
    """The net of a safetensors file's bytes; SafetensorError when they are none."""
    name, arrays = decoded("emoji-contrastive", weights)
    words = tuple(arrays.pop("words").tobytes().decode().split("\n"))
    return ContrastiveNet(name, words, unflatten_dict(arrays, sep="/"))


@functools.cache
def load(data: str) -> ContrastiveNet | None:
    """The net that ships for captioned data of that name; None for data without one, which no retrieval measures."""
    return decode(_WEIGHTS[data].read_bytes()) if data in _WEIGHTS else None
