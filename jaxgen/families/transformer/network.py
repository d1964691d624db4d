"""A decoder over tokens, with one set of parameters for whole sequences and for single steps from a cache."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, ROW, WHOLE, Rule
from jaxgen.errors import UserError
from jaxgen.nn.conditions import Condition, Conditioned
from jaxgen.nn.decoder_parts import DecoderParts, Position
from jaxgen.nn.dropout import dropped, numbered, numbered_each
from jaxgen.nn.key_value_cache import Cache, Caches, block_cache, empty_cache, with_block_cache
from jaxgen.nn.mlp import MLP
from jaxgen.nn.multi_head_attention import SelfAttention, check_rotary_heads
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.ops.sequences import place_in_segment, within_segment
from jaxgen.types import LOW_RANK

# Every leaf with the batch leading: "blocks" (a cache each, or one of all L in it), "history" [B, n], "position" [B].
Carry = dict[str, Any]


class Block(nn.Module):
    """Attention, then an MLP, each added to what it read through a norm (pre-norm, arXiv 2002.04745)."""

    heads: int
    hidden: int
    dropout: float
    precision: Precision
    parts: DecoderParts = DecoderParts()
    low_rank: int = 0

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        cache: Cache | None,
        position: jax.Array | None,
        keys: jax.Array | None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        parts = self.parts
        attention = SelfAttention(
            self.heads,
            causal=True,
            rotary=parts.position is Position.ROTARY,
            precision=self.precision,
            low_rank=self.low_rank,
            query_key_norm=parts.query_key_norm,
            zero_init=parts.zero_init,
            name="attention",
        )
        y, cache = attention(parts.norm.module(name="attention_norm")(x), cache, position, segment)
        x = x + dropped(y, self.dropout, numbered(keys, 0))
        mlp = MLP(self.hidden, self.precision, parts.activation, parts.zero_init, name="mlp")
        y = mlp(parts.norm.module(name="mlp_norm")(x))
        return x + dropped(y, self.dropout, numbered(keys, 1)), cache


class Transformer(nn.Module):
    """Logits of the next token after each token of a sequence (arXiv 1706.03762's decoder, rotary, arXiv 2104.09864).

    `token_shifts` says which earlier tokens' embeddings are added up at each step, counted back from the one that it
    predicts: (1,) is the plain decoder, and 8 is the pixel above in a picture 8 wide. `dropout` acts on the embeddings
    and on what each block adds, with one mask a row, all along the sequence. `scan` compiles one block and loops over
    all, so that compiling takes as long for any depth: the blocks' parameters are then stacked, `blocks` with a leading
    axis, no mask can tell them apart, and a run that starts from one without `scan`, or the reverse, is rearranged.
    A token that is drawn takes up to 1.7 times as long then, for each block's cache is copied to be read. `parts` are
    what blocks are built from; with a `low_rank` attention learns an addition of that rank (core/low_rank_surgery.py).
    The last two fields come from the data: `vocabulary` V and `positions`, the places that have an embedding of their
    own: a picture's pixels, and with Position.LEARNED a text's places too (0: none).
    """

    width: int = 64
    blocks: int = 4
    heads: int = 4
    hidden: int = 256
    token_shifts: tuple[int, ...] = (1,)
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    scan: bool = False
    parts: DecoderParts = DecoderParts()
    low_rank: int = 0
    vocabulary: int = 0
    positions: int = 0

    layout = (
        Rule(r"(query_key_value|mlp/in|mlp/gate|head|condition)/kernel$", COLUMN),
        Rule(r"(query_key_value|mlp/in|mlp/gate|head)/bias$", ("tensor",)),
        Rule(r"(attention|mlp)/out/kernel$|embedding$", ROW),
        Rule(rf"(attention|mlp)/out/bias$|norm/(scale|bias)$|{LOW_RANK}/(in|out)/kernel$", WHOLE),
    )
    streams = False  # no state goes on from one training batch to the next

    def __post_init__(self):
        check_sizes(self)
        check_rotary_heads(self.width, self.heads)
        if not self.token_shifts or min(self.token_shifts) < 1:
            raise UserError(f"token_shifts is {self.token_shifts}; give the distances of earlier tokens, from 1 on")
        if self.parts.tied_head and 1 not in self.token_shifts:
            raise UserError(f"a tied head is the last token's table; give token_shifts a 1 besides {self.token_shifts}")
        super().__post_init__()

    @nn.nowrap
    def sized(self, vocabulary: int, positions: int, length: int) -> "Transformer":
        places = {Position.ROTARY: positions, Position.LEARNED: length, Position.NONE: 0}
        return self.clone(vocabulary=vocabulary, positions=places[self.parts.position])

    @nn.nowrap
    def carry(self, batch_size: int, length: int) -> Carry:
        """The state before a sequence's first token, which is V, "start", when the sequence gives none of its own.

        It has room for `length` tokens; writing more is undefined.
        """
        if self.parts.position is Position.LEARNED and length > self.positions:
            raise UserError(f"learned positions end at {self.positions} tokens; ask for no more, not for {length}")
        cache = empty_cache(batch_size, length, self.heads, self.width, self.precision.dtype)
        if self.scan:
            blocks = jax.tree.map(lambda leaf: jnp.stack([leaf] * self.blocks, axis=1), cache)
        else:
            blocks = (cache,) * self.blocks
        return {"blocks": blocks, "position": jnp.zeros(batch_size, jnp.int32)} | self._past(batch_size)

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        carry: Carry | None,
        condition: Condition | None,
        keys: jax.Array | None = None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Carry | None]:
        """Logits [B, T, V] of what follows each of `tokens` [B, T], and the state after the last.

        Without `carry` the sequence begins here, and no state comes back. `keys` [B] draw each row's dropout; None
        drops nothing. Where `segment` [B, T] changes a document begins that knows nothing of the last; it is read
        without a carry alone.
        """
        tables = {back: self._table(self.vocabulary + 1, _name(back)) for back in self.token_shifts}
        x, after = self._shown(tables, tokens, carry, segment)
        x = dropped(x, self.dropout, numbered(keys, self.blocks))
        if condition is not None:  # scaled as well as shifted (arXiv 1709.07871): a pixel's place depends on the class
            film = Conditioned(2 * self.width, name="condition")(condition).astype(x.dtype)[:, None]
            scale, shift = jnp.split(film, 2, axis=-1)  # [B, 1, D]
            x = x * (1 + scale) + shift
        caches, position = (None, None) if carry is None else (carry["blocks"], carry["position"])
        if not self.scan:
            x, caches = self._one_by_one(x, caches, position, keys, segment)
        elif carry is None:
            x = self._scanned(x, keys, segment)
        else:
            x, caches = self._scanned_from_caches(x, caches, position, keys)
        x = self.parts.norm.module(name="final_norm")(x)
        logits = self.parts.capped(self._logits(x, tables))
        return logits, None if carry is None else after | {"blocks": caches}

    def step(self, token: jax.Array, carry: Carry, condition: Condition | None) -> tuple[jax.Array, Carry]:
        """Logits [B, V] of what follows `token` [B], and the state after it."""
        logits, carry = self(token[:, None], carry, condition)
        return logits[:, 0], carry

    def _one_by_one(
        self,
        x: jax.Array,
        caches: tuple[Cache, ...] | None,
        position: jax.Array | None,
        keys: jax.Array | None,
        segment: jax.Array | None,
    ) -> tuple[jax.Array, tuple[Cache | None, ...]]:
        """[B, T, D] through all blocks, each compiled for itself, and their caches."""
        block, after = self.remat.of(Block), []
        for number in range(self.blocks):
            this = block(*self._how, name=f"block_{number}")
            x, cache = this(x, caches and caches[number], position, numbered(keys, number), segment)
            after.append(cache)
        return x, tuple(after)

    def _scanned(self, x: jax.Array, keys: jax.Array | None, segment: jax.Array | None) -> jax.Array:
        """[B, T, D] of whole sequences through all blocks in one loop."""
        loop = self.remat.scanned(Block, self.blocks, (nn.broadcast, nn.broadcast, 1, nn.broadcast))
        x, _ = loop(*self._how, name="blocks")(x, None, None, numbered_each(keys, self.blocks), segment)
        return x

    def _scanned_from_caches(
        self, x: jax.Array, caches: Caches, position: jax.Array, keys: jax.Array | None
    ) -> tuple[jax.Array, Caches]:
        """The same going on from caches: one loop that hands all of them on, each block writing its new tokens alone.

        Given and taken back block by block, as a scan's inputs and outputs, all would be copied at each token.
        """
        keys = numbered_each(keys, self.blocks)

        def advance(block: Block, state: tuple[jax.Array, Caches], number: jax.Array):
            x, caches = state
            own = jax.tree.map(lambda keys: keys[:, number], keys)
            x, cache = block(x, block_cache(caches, number), position, own)
            return (x, with_block_cache(caches, number, cache, position, x.shape[1])), None

        loop = nn.scan(advance, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.blocks)
        return loop(Block(*self._how, name="blocks"), (x, caches), jnp.arange(self.blocks))[0]

    @property
    def _how(self) -> tuple[Any, ...]:
        """A block's fields."""
        return self.heads, self.hidden, self.dropout, self.precision, self.parts, self.low_rank

    def _table(self, count: int, name: str) -> nn.Embed:
        return nn.Embed(count, self.width, name=name)

    def _rows(self, table: nn.Embed, ids: jax.Array) -> jax.Array:
        """Rows of a table, rounded after they are looked up: their gradients are summed in float32."""
        return table(ids).astype(self.precision.dtype)

    def _logits(self, x: jax.Array, tables: Mapping[int, nn.Embed]) -> jax.Array:
        """[B, T, V] float32 of the last block's results [B, T, D]."""
        if self.parts.tied_head:
            kernel = tables[1].embedding[: self.vocabulary].T  # all but "start"
            return self.precision.product(x.astype(kernel.dtype), kernel, (((2,), (0,)), ((), ())))
        # zeros: an untrained network holds every token equally likely
        return self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros, name="head")(x)

    def _past(self, batch_size: int) -> Carry:
        """The tokens before the first that `token_shifts` looks back on: none but starts."""
        further = max(self.token_shifts) - 1
        return {"history": jnp.full((batch_size, further), self.vocabulary, jnp.int32)} if further else {}

    def _shown(
        self, tables: Mapping[int, nn.Embed], tokens: jax.Array, carry: Carry | None, segment: jax.Array | None
    ) -> tuple[jax.Array, Carry]:
        """The sum of the embeddings [B, T, D] that each step is shown, and the part of the state that they move."""
        size, length = tokens.shape
        past = self._past(size) | {"position": jnp.zeros(1, jnp.int32)} if carry is None else carry
        after = {"position": past["position"] + length}
        furthest = max(self.token_shifts)
        if furthest > 1:
            tokens = jnp.concatenate([past["history"], tokens], axis=1)
            after["history"] = tokens[:, length:]
        x = 0.0
        for back in self.token_shifts:
            looked_at = tokens[:, furthest - back : furthest - back + length]
            if segment is not None:
                looked_at = within_segment(looked_at, segment, back, self.vocabulary)
            x = x + self._rows(tables[back], looked_at)
        if self.positions:
            place = past["position"][:, None] + jnp.arange(length, dtype=jnp.int32)
            place = place if segment is None else place_in_segment(segment)
            x = x + self._rows(self._table(self.positions, "position"), place)
        return x, after


def _name(back: int) -> str:
    """Of the table of the tokens so far back."""
    return "token" if back == 1 else f"token_{back}"
