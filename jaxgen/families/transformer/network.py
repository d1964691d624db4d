"""A decoder over tokens, with one set of parameters for whole sequences and for single steps from a cache."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, ROW, WHOLE, Rule
from jaxgen.errors import UserError
from jaxgen.nn.attention import Cache, SelfAttention, empty_cache
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.mlp import MLP
from jaxgen.ops.sequences import within_segment

Carry = dict[str, Any]  # every leaf with the batch leading: "blocks" (a cache each), "history" [B, n], "position" [B]


class Block(nn.Module):
    """Attention, then an MLP, each added to what it read through a norm (pre-norm, arXiv 2002.04745)."""

    heads: int
    hidden: int
    dropout: float

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: Cache | None,
        position: jax.Array | None,
        keys: jax.Array | None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        attention = SelfAttention(self.heads, causal=True, rotary=True, name="attention")
        y, cache = attention(nn.RMSNorm(name="attention_norm")(x), cache, position, segment)
        x = x + dropped(y, self.dropout, numbered(keys, 0))
        y = MLP(self.hidden, name="mlp")(nn.RMSNorm(name="mlp_norm")(x))
        return x + dropped(y, self.dropout, numbered(keys, 1)), cache


class Transformer(nn.Module):
    """Logits of the next token after each token of a sequence (arXiv 1706.03762's decoder, rotary, arXiv 2104.09864).

    `context` says which earlier tokens' embeddings are added up at each step, counted back from the one that it
    predicts: (1,) is the plain decoder, and 8 is the pixel above in a picture 8 wide. `dropout` acts on the embeddings
    and on what each block adds, with one mask a row, all along the sequence.
    The last three fields come from the data: `vocabulary` V, `classes` (0: no condition) and `positions` (a picture's
    pixels, each with an embedding of its own; 0: none).
    """

    width: int = 64
    blocks: int = 4
    heads: int = 4
    hidden: int = 256
    context: tuple[int, ...] = (1,)
    dropout: float = 0.0
    vocabulary: int = 0
    classes: int = 0
    positions: int = 0

    layout = (
        Rule(r"(query_key_value|mlp/in|head)/kernel$", COLUMN),
        Rule(r"(query_key_value|mlp/in|head)/bias$", ("tensor",)),
        Rule(r"(attention|mlp)/out/kernel$|embedding$", ROW),
        Rule(r"(attention|mlp)/out/bias$|norm/scale$", WHOLE),
    )
    streams = False  # no state goes on from one training batch to the next

    def __post_init__(self):
        if self.heads < 1 or self.width < 1 or self.width % (2 * self.heads):
            raise UserError(
                f"width is {self.width} and heads {self.heads}; give each head an even number of features, such as "
                f"width={max(2 * self.heads, 2) * 8}"
            )
        if not self.context or min(self.context) < 1:
            raise UserError(f"context is {self.context}; give the distances of earlier tokens, from 1 on")
        super().__post_init__()

    @nn.nowrap
    def carry(self, batch_size: int, length: int) -> Carry:
        """The state before a sequence's first token, which is V, "start", when the sequence gives none of its own.

        It has room for `length` tokens; writing more is undefined.
        """
        cache = empty_cache(batch_size, length, self.heads, self.width)
        carry: Carry = {"blocks": (cache,) * self.blocks, "position": jnp.zeros(batch_size, jnp.int32)}
        return carry | self._past(batch_size)

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        carry: Carry | None,
        label: jax.Array | None,
        keys: jax.Array | None = None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Carry | None]:
        """Logits [B, T, V] of what follows each of `tokens` [B, T], and the state after the last.

        Without `carry` the sequence begins here, and no state comes back. `label` [B] is read when `classes` is not 0,
        where the label `classes` is "no class". `keys` [B] draw each row's dropout; None drops nothing. Where `segment`
        [B, T] changes a document begins that knows nothing of the last; it is read without a carry alone.
        """
        x, after = self._shown(tokens, carry, segment)
        x = dropped(x, self.dropout, numbered(keys, self.blocks))
        if self.classes:  # scaled as well as shifted (arXiv 1709.07871): what a pixel's place says depends on the class
            film = nn.Embed(self.classes + 1, 2 * self.width, name="label")(label)[:, None]
            scale, shift = jnp.split(film, 2, axis=-1)  # [B, 1, D]
            x = x * (1 + scale) + shift
        caches = []
        for number in range(self.blocks):
            block = Block(self.heads, self.hidden, self.dropout, name=f"block_{number}")
            cache, position = (None, None) if carry is None else (carry["blocks"][number], carry["position"])
            x, cache = block(x, cache, position, numbered(keys, number), segment)
            caches.append(cache)
        x = nn.RMSNorm(name="final_norm")(x)
        # zeros: an untrained network holds every token equally likely
        logits = nn.Dense(self.vocabulary, kernel_init=nn.initializers.zeros, name="head")(x)
        return logits, None if carry is None else after | {"blocks": tuple(caches)}

    def step(self, token: jax.Array, carry: Carry, label: jax.Array | None) -> tuple[jax.Array, Carry]:
        """Logits [B, V] of what follows `token` [B], and the state after it."""
        logits, carry = self(token[:, None], carry, label)
        return logits[:, 0], carry

    def _past(self, batch_size: int) -> Carry:
        """The tokens before the first that `context` looks back on: none but starts."""
        further = max(self.context) - 1
        return {"history": jnp.full((batch_size, further), self.vocabulary, jnp.int32)} if further else {}

    def _shown(self, tokens: jax.Array, carry: Carry | None, segment: jax.Array | None) -> tuple[jax.Array, Carry]:
        """The sum of the embeddings [B, T, D] that each step is shown, and the part of the state that they move."""
        size, length = tokens.shape
        past = self._past(size) | {"position": jnp.zeros(1, jnp.int32)} if carry is None else carry
        after = {"position": past["position"] + length}
        furthest = max(self.context)
        if furthest > 1:
            tokens = jnp.concatenate([past["history"], tokens], axis=1)
            after["history"] = tokens[:, length:]
        x = 0.0
        for back in self.context:
            table = nn.Embed(self.vocabulary + 1, self.width, name="token" if back == 1 else f"token_{back}")
            looked_at = tokens[:, furthest - back : furthest - back + length]
            x = x + table(looked_at if segment is None else within_segment(looked_at, segment, back, self.vocabulary))
        if self.positions:
            x = x + nn.Embed(self.positions, self.width, name="position")(
                past["position"][:, None] + jnp.arange(length)
            )
        return x, after
