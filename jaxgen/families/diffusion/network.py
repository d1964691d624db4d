"""A diffusion transformer: patches as tokens, noise level and condition in the norms (DiT, arXiv 2212.09748)."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.families.diffusion.noise_features import noise_condition
from jaxgen.families.diffusion.text_attention import Text, TextAttention
from jaxgen.nn.conditions import Condition
from jaxgen.nn.mlp import MLP
from jaxgen.nn.multi_head_attention import SelfAttention
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.ops.pixel_blocks import folded, unfolded

_small = nn.initializers.normal(0.02)


class Block(nn.Module):
    """Attention and an MLP over [B, T, D], scaled, shifted and gated by the condition [B, D].

    Between the two there is attention to a text's places, where there is one. The gates are zero at first, and with
    them the block's share (adaLN-Zero, section 3.2 of arXiv 2212.09748).
    """

    heads: int
    expansion: int
    precision: Precision
    low_rank: int = 0

    @nn.compact
    def __call__(
        self, x: jax.Array, kept: jax.Array | float, condition: jax.Array, text: Text | None
    ) -> tuple[jax.Array, None]:
        """`kept` scales what the first and the last branch add: [B, 2, D] where features are dropped, or 1."""
        width = x.shape[-1]
        zeros = nn.initializers.zeros
        modulation = self.precision.dense(6 * width, kernel_init=zeros, name="modulation")(condition)
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = jnp.split(modulation[:, None], 6, axis=-1)  # [B, 1, D]
        kept = jnp.broadcast_to(kept, (len(x), 2, width)).astype(x.dtype)
        kept_1, kept_2 = jnp.split(kept, 2, axis=1)  # [B, 1, D]
        attention = SelfAttention(self.heads, precision=self.precision, low_rank=self.low_rank, name="attention")
        branch, _ = attention(_normed(x) * (1 + scale_1) + shift_1)
        x = x + gate_1 * kept_1 * branch
        if text is not None:
            x = x + TextAttention(self.heads, self.precision, name="text_attention")(x, condition, text)
        branch = MLP(self.expansion * width, self.precision, name="mlp")(_normed(x) * (1 + scale_2) + shift_2)
        return x + gate_2 * kept_2 * branch, None


class DiffusionTransformer(nn.Module):
    """`outputs` numbers for each channel of each pixel of a noisy picture; zeros from an untrained network.

    Pictures are cut into squares of `patch` pixels a side, one token each. `dropout` acts on every branch, one mask a
    row (the features that are dropped are dropped from all tokens). `scan` compiles one block and loops over all: the
    blocks' parameters are then stacked, `blocks` with a leading axis, and no mask can tell them apart. With a
    `low_rank` attention learns an addition of that rank (core/low_rank_surgery.py). A prompt is read by `text`: its
    vector joins the condition, its places are attended to in each block. The last two fields come from the task.
    """

    width: int = 96
    blocks: int = 3
    heads: int = 4
    patch: int = 2
    expansion: int = 4
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    scan: bool = False
    low_rank: int = 0
    text: TextEncoder = TextEncoder()
    image: tuple[int, int, int] | None = None  # H, W, C
    outputs: int = 1

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    @property
    def multiple(self) -> None:
        """It takes pictures of its own size alone; of another network, all whose sides are multiples of a number."""
        return None

    def check(self, image: tuple[int, int, int]) -> None:
        """UserError when pictures of this size cannot be cut into patches, or the width not into heads."""
        if self.patch < 1 or image[0] % self.patch or image[1] % self.patch:
            raise UserError(
                f"network.patch is {self.patch}, which does not divide a picture of {image[0]}x{image[1]}; choose "
                "one that divides both sides"
            )
        if self.heads < 1 or self.width % self.heads:
            raise UserError(f"network.heads is {self.heads}, which does not divide the width {self.width}")

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B H W C"],
        c_noise: Float[Array, "B"],
        given: Condition | None,
        keys: jax.Array | None = None,
    ) -> Float[Array, "B H W C outputs"]:
        """`keys` [B] draw each row's dropout; None drops nothing."""
        dtype, dense = self.precision.dtype, self.precision.dense
        condition, text = noise_condition(self.width, self.precision, c_noise, given), None  # [B, D]
        if given is not None and given.sequence is not None:
            *text, vector = self.text(given.sequence)
            condition += dense(self.width, kernel_init=_small, name="text_vector")(vector)
        condition = nn.silu(condition)
        patches = folded(x, self.patch)
        tokens = patches.reshape(len(x), -1, patches.shape[-1])
        tokens = dense(self.width, name="from_patch")(tokens)  # [B, T, D]
        tokens += self.param("position", _small, tokens.shape[1:], jnp.float32).astype(dtype)
        tokens = self._through_blocks(tokens, self._kept(keys), condition, text)
        final = _Final(self.patch**2 * x.shape[-1] * self.outputs, self.precision, name="final")
        out = final(tokens, condition).reshape(*patches.shape[:-1], -1)
        return unfolded(out, self.patch).reshape(*x.shape, self.outputs)

    def _through_blocks(
        self, tokens: jax.Array, kept: jax.Array | list[float], condition: jax.Array, text: Text | None
    ) -> jax.Array:
        """[B, T, D] through every block, in one loop where they are stacked."""
        sizes = self.heads, self.expansion, self.precision, self.low_rank
        if self.scan:
            loop = self.remat.scanned(Block, self.blocks, (0, nn.broadcast, nn.broadcast))
            return loop(*sizes, name="blocks")(tokens, jnp.asarray(kept, jnp.float32), condition, text)[0]
        block = self.remat.of(Block)
        for number in range(self.blocks):
            tokens, _ = block(*sizes, name=f"block_{number}")(tokens, kept[number], condition, text)
        return tokens

    def _kept(self, keys: jax.Array | None) -> jax.Array | list[float]:
        """[blocks, B, 2, D]: 0 for each branch's features that are dropped, the others scaled up; 1 drops nothing."""
        if keys is None or self.dropout == 0:
            return [1.0] * self.blocks
        share, shape = 1 - self.dropout, (self.blocks, 2, self.width)
        return jnp.moveaxis(jax.vmap(lambda key: jax.random.bernoulli(key, share, shape))(keys), 0, 1) / share


class _Final(nn.Module):
    """The conditioned norm and the linear map to a patch's outputs, zero at first."""

    features: int
    precision: Precision

    @nn.compact
    def __call__(self, tokens: jax.Array, condition: jax.Array) -> jax.Array:
        zeros = nn.initializers.zeros
        modulation = self.precision.dense(2 * tokens.shape[-1], kernel_init=zeros, name="modulation")(condition)
        shift, scale = jnp.split(modulation[:, None], 2, axis=-1)
        out = self.precision.output(self.features, kernel_init=zeros, name="out")
        return out(_normed(tokens) * (1 + scale) + shift)


def _normed(x: jax.Array) -> jax.Array:
    """[..., D] float32 with mean 0 and variance 1 over D; the condition brings scale and shift."""
    x = x.astype(jnp.float32)
    x = x - x.mean(axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)
