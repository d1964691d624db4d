"""An encoder over what is given and a decoder that attends to it: translation, speech, captions."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, ROW, WHOLE, Rule
from jaxgen.families.transformer.encoder import OF_ENCODERS, EncoderBlock, check_chunks
from jaxgen.nn.conditions import Sequence
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.key_value_cache import Cache, empty_cache
from jaxgen.nn.mlp import MLP
from jaxgen.nn.multi_head_attention import (
    Attended,
    CrossAttention,
    SelfAttention,
    Wait,
    check_rotary_heads,
    nothing_attended,
)
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.stems import PictureStem, SpeechStem

Memory = tuple[Attended, ...]  # a decoder block's each
Reading = dict[str, Any]  # every leaf with the batch leading: "encoder" (a block's each), "position" [B], "memory"
Carry = dict[str, Any]  # every leaf with the batch leading: "blocks" (a cache each), "position" [N]


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to the encoder's places, an MLP, each added to what it read through a norm."""

    heads: int
    width: int
    hidden: int
    dropout: float
    precision: Precision

    def setup(self):
        self.attention_norm, self.cross_norm, self.mlp_norm = nn.RMSNorm(), nn.RMSNorm(), nn.RMSNorm()
        self.attention = SelfAttention(self.heads, causal=True, rotary=True, precision=self.precision)
        self.cross = CrossAttention(self.heads, self.width, self.precision)
        self.mlp = MLP(self.hidden, self.precision)

    def __call__(
        self,
        x: jax.Array,
        memory: Attended,
        cache: Cache | None = None,
        position: jax.Array | None = None,
        keys: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        y, cache = self.attention(self.attention_norm(x), cache, position)
        x = x + dropped(y, self.dropout, numbered(keys, 0))
        x = x + dropped(self.cross(self.cross_norm(x), memory, position), self.dropout, numbered(keys, 1))
        return x + dropped(self.mlp(self.mlp_norm(x)), self.dropout, numbered(keys, 2)), cache


class TransformerEncoderDecoder(nn.Module):
    """Logits of the next token of a sentence after each of its tokens, under the sentence that is given.

    The encoder and decoder of arXiv 1706.03762 with the norm before each layer (arXiv 2002.04745) and rotary
    positions (arXiv 2104.09864). `dropout` acts on the embeddings and on what each layer adds, with one mask a row,
    all along the sentence.

    A recording or a picture is read by a `stem`. With `kernel` the encoder's blocks are a Conformer's (arXiv
    2005.08100); with `chunk` a place knows of its own chunk of places and the `look_back` chunks before it (none: all),
    so that what is given can be translated as it is read, a sentence in chunks of 1. `align` (from the task) adds a
    layer for CTC over what is encoded. The last two fields come from the data: `source_vocabulary`, and `vocabulary` V;
    token V is "start".
    """

    width: int = 256
    encoder_blocks: int = 3
    blocks: int = 3  # of the decoder
    heads: int = 4
    hidden: int = 512
    dropout: float = 0.1
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE
    kernel: int = 0
    chunk: int | None = None
    look_back: int | None = None
    stem: SpeechStem | PictureStem | None = None
    align: bool = False
    source_vocabulary: int = 0
    vocabulary: int = 0

    layout = (
        *OF_ENCODERS,
        Rule(r"(query|key_value|head)/kernel$", COLUMN),
        Rule(r"(query|key_value|head)/bias$", ("tensor",)),
        Rule(r"cross/out/kernel$|embedding$", ROW),
        Rule(r"cross/out/bias$", WHOLE),
    )

    def __post_init__(self):
        check_sizes(self)
        check_rotary_heads(self.width, self.heads)
        check_chunks(self.chunk, self.look_back, self.kernel)
        super().__post_init__()

    def setup(self):
        how = self.dropout, self.precision
        encoder, decoder = self.remat.of(EncoderBlock), self.remat.of(DecoderBlock)
        if self.stem is None:
            self.source_token = nn.Embed(self.source_vocabulary, self.width)
        chunks = self.kernel, self.chunk, self.look_back
        self.encoder_block = [encoder(self.heads, self.hidden, *how, *chunks) for _ in range(self.encoder_blocks)]
        self.encoder_norm = nn.RMSNorm()
        self.token = nn.Embed(self.vocabulary + 1, self.width)
        self.block = [decoder(self.heads, self.width, self.hidden, *how) for _ in range(self.blocks)]
        self.final_norm = nn.RMSNorm()
        # zeros: an untrained network holds every token equally likely
        self.head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)
        if self.align:
            self.place_head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)

    @property
    def reads(self) -> int | None:
        """The places that are read at a time: none knows of any after them. None where a place knows of all."""
        return self.chunk

    def __call__(
        self, given: Sequence, tokens: jax.Array, keys: jax.Array | None = None, wait: Wait | None = None
    ) -> jax.Array:
        """Logits [B, T, V] of what follows each of `tokens` [B, T]; `keys` [B] draw each row's dropout."""
        memory = self.encode(given, numbered(keys, 0), wait)
        return self.decode(memory, tokens, numbered(keys, 1))

    def aligned(
        self, given: Sequence, tokens: jax.Array, keys: jax.Array | None = None, wait: Wait | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The same logits, those [B, S, V] of the token that each place given tells, and the places of a row's own."""
        x, own = self._encoded(given, numbered(keys, 0))
        memory = tuple(block.cross.attended(x, own, wait) for block in self.block)
        return self.decode(memory, tokens, numbered(keys, 1)), self.place_head(x), own

    def encode(self, given: Sequence, keys: jax.Array | None = None, wait: Wait | None = None) -> Memory:
        """What the decoder attends to of each row of `given`; token t to the places that `wait` lets it see."""
        x, own = self._encoded(given, keys)
        return tuple(block.cross.attended(x, own, wait) for block in self.block)

    def _encoded(self, given: Sequence, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """The places [B, S, D], and which of them are a row's own [B, S]."""
        if self.stem is None:
            x, own = self.source_token(given.values), given.mask
        else:
            x, own = self.stem(given.values, given.mask, self.width, numbered(keys, self.encoder_blocks + 1))
        x = dropped(x.astype(self.precision.dtype), self.dropout, numbered(keys, self.encoder_blocks))
        for number, block in enumerate(self.encoder_block):
            x, _ = block(x, own, numbered(keys, number))
        return self.encoder_norm(x).astype(self.precision.dtype), own

    @nn.nowrap
    def begin(self, batch_size: int, places: int, wait: Wait | None) -> Reading:
        """The state before the first window of what is given, which has so many places at most."""
        room = -(-places // self.chunk) * self.chunk
        how = self.heads, self.hidden, self.dropout, self.precision, self.kernel, self.chunk, self.look_back
        held = EncoderBlock(*how, parent=None).begin(batch_size, self.width, room)
        attended = nothing_attended(batch_size, room, self.heads, self.width, self.precision.dtype, wait)
        position = jnp.zeros(batch_size, jnp.int32)
        return {"encoder": (held,) * self.encoder_blocks, "position": position, "memory": (attended,) * self.blocks}

    def read(self, given: Sequence, reading: Reading) -> Reading:
        """The state after a chunk: of a sentence, or of a recording as `SpeechStem.continued` has it."""
        if self.stem is None:
            x, own = self.source_token(given.values), given.mask
        else:
            x, own = self.stem.continued(given.values, given.mask, self.width)
        x, position, after = x.astype(self.precision.dtype), reading["position"], []
        for block, held in zip(self.encoder_block, reading["encoder"], strict=True):
            x, held = block(x, own, None, held, position)
            after.append(held)
        x = self.encoder_norm(x).astype(self.precision.dtype)
        pairs = zip(self.block, reading["memory"], strict=True)
        memory = tuple(block.cross.extended(attended, x, own, position) for block, attended in pairs)
        return {"encoder": tuple(after), "position": position + x.shape[1], "memory": memory}

    @nn.nowrap
    def carry(self, memory: Memory, beams: int, length: int) -> Carry:
        """The state before the first token of `beams` sentences for each row, with room for `length` tokens."""
        count = beams * len(memory[0].mask)
        cache = empty_cache(count, length, self.heads, self.width, self.precision.dtype)
        return {"blocks": (cache,) * self.blocks, "position": jnp.zeros(count, jnp.int32)}

    @nn.nowrap
    def grown(self, carry: Carry, length: int) -> Carry:
        """The state with room for `length` tokens in all."""

        def longer(held: jax.Array) -> jax.Array:
            return jnp.pad(held, ((0, 0), (0, 0), (0, length - held.shape[2]), (0, 0)))

        return carry | {"blocks": jax.tree.map(longer, carry["blocks"])}

    def decode(self, memory: Memory, tokens: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Logits [N, T, V] after each of `tokens` [N, T], N being B or a multiple of it, a row's own side by side."""
        return self._decoded(memory, tokens, None, keys)[0]

    def step(self, memory: Memory, token: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
        """Logits [N, V] of what follows `token` [N], and the state after it."""
        logits, carry = self._decoded(memory, token[:, None], carry, None)
        return logits[:, 0], carry

    def _decoded(
        self, memory: Memory, tokens: jax.Array, carry: Carry | None, keys: jax.Array | None
    ) -> tuple[jax.Array, Carry | None]:
        x = self.token(tokens).astype(self.precision.dtype)  # rounded after they are looked up
        x = dropped(x, self.dropout, numbered(keys, self.blocks))
        caches, position = ((None,) * self.blocks, None) if carry is None else (carry["blocks"], carry["position"])
        after = []
        for number, (block, attended) in enumerate(zip(self.block, memory, strict=True)):
            x, cache = block(x, attended, caches[number], position, numbered(keys, number))
            after.append(cache)
        size, length, width = x.shape
        logits = self.head(self.final_norm(x).reshape(-1, width)).reshape(size, length, -1)
        return logits, None if carry is None else {"blocks": tuple(after), "position": position + length}
