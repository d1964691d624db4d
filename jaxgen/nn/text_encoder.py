"""A small text encoder that is trained along with what reads it: a sequence for cross-attention and one vector."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.linear import default_embed_init
from jaxtyping import Array, Bool, Float

from jaxgen.nn.conditions import Condition, Conditioned, Sequence
from jaxgen.nn.mlp import MLP
from jaxgen.nn.multi_head_attention import SelfAttention, check_rotary_heads
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes

_unit = nn.initializers.normal(1.0)  # words differ from the first step on


class TextEncoder(nn.Module):
    """Pre-norm self-attention over the tokens of a text, of which the vocabulary's size comes with the tokens.

    A learned place stands before the first token. It is never masked: an empty text, and one that is hidden, is this
    place alone, the null condition of arXiv 2207.12598. Positions are rotary, so that padding changes nothing.
    """

    width: int = 128
    blocks: int = 2
    heads: int = 4
    expansion: int = 4
    precision: Precision = Precision.FLOAT32

    def __post_init__(self):
        check_sizes(self)
        check_rotary_heads(self.width, self.heads)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, text: Sequence
    ) -> tuple[Float[Array, "B S1 width"], Bool[Array, "B S1"], Float[Array, "B width"]]:
        """The places [B, 1 + S, width], which of them are a row's own [B, 1 + S], and the first place's vector."""
        words = nn.Embed(text.vocabulary, self.width, embedding_init=_unit, name="words")(text.values)
        first = self.param("first", _unit, (self.width,), jnp.float32)
        x = jnp.concatenate([jnp.broadcast_to(first, (len(words), 1, self.width)), words], axis=1)
        own = jnp.pad(text.mask, ((0, 0), (1, 0)), constant_values=True)
        x = x.astype(self.precision.dtype)
        for number in range(self.blocks):
            x = _Block(self.heads, self.expansion, self.precision, name=f"block_{number}")(x, own)
        x = nn.RMSNorm(dtype=self.precision.dtype, name="norm")(x)
        return x, own, x[:, 0]


def embedded(
    condition: Condition,
    features: int,
    text: TextEncoder,
    precision: Precision,
    kernel_init: nn.initializers.Initializer = default_embed_init,
) -> Float[Array, "B features"]:
    """Of what is given: a class's row of a table, and of a sentence what `text` makes; inside a compact module."""
    embedding = Conditioned(features, kernel_init, name="condition")(condition)
    if condition.sequence is None:
        return embedding
    *_, vector = text(condition.sequence)
    return embedding + precision.output(features, name="text_vector")(vector)


class _Block(nn.Module):
    """Self-attention among a row's own places, then an MLP, each added to what it read through a norm."""

    heads: int
    expansion: int
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, own: jax.Array) -> jax.Array:
        segment = own.astype(jnp.int32)  # what is padded is a segment of its own
        attention = SelfAttention(self.heads, rotary=True, precision=self.precision, name="attention")
        x = x + attention(nn.RMSNorm(dtype=x.dtype, name="attention_norm")(x), segment=segment)[0]
        mlp = MLP(self.expansion * x.shape[-1], self.precision, name="mlp")
        return x + mlp(nn.RMSNorm(dtype=x.dtype, name="mlp_norm")(x))
