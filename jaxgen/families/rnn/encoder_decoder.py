"""A bidirectional recurrent encoder over a given sentence and a recurrent decoder with attention, for translation."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from jaxgen.core.layout import COLUMN, ROW, WHOLE, Rule
from jaxgen.errors import UserError
from jaxgen.families.rnn.network import Cell, RecurrentLayer
from jaxgen.nn.conditions import Sequence
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.multi_head_attention import Attended, CrossAttention
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes

Carry = tuple[Any, ...]  # each layer's state, every leaf with the batch leading


@struct.dataclass
class Memory:
    """What the decoder has of a given sentence."""

    attended: Attended
    states: Carry  # before the first token


class BidirectionalLayer(nn.Module):
    """One layer read forward and one read backward, [B, S, D] -> [B, S, 2 * width], and what both end with."""

    cell: Cell
    width: int
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The outputs, and [B, 2 * width] the forward ones after a row's last own place, the backward ones' first."""
        place, last = jnp.arange(x.shape[1]), mask.sum(axis=1, keepdims=True) - 1  # [B, 1]
        turned = jnp.where(place <= last, last - place, place)[..., None]  # its own inverse; what is padded stays last
        layer = RecurrentLayer(self.cell, self.width, parent=None)
        forward, _ = self._layer("forward")(x, layer.state(len(x)))
        backward, _ = self._layer("backward")(jnp.take_along_axis(x, turned, axis=1), layer.state(len(x)))
        ends = jnp.take_along_axis(jnp.concatenate([forward, backward], axis=-1), last[..., None], axis=1)[:, 0]
        return jnp.concatenate([forward, jnp.take_along_axis(backward, turned, axis=1)], axis=-1), ends

    def _layer(self, name: str) -> RecurrentLayer:
        return RecurrentLayer(self.cell, self.width, self.precision, name=name)


class RecurrentEncoderDecoder(nn.Module):
    """Logits of the next token of a sentence after each of its tokens, under the sentence that is given.

    A bidirectional encoder and attention (arXiv 1409.0473), the attention asked by the decoder's lowest layer and given
    to all above it (arXiv 1609.08144), without feeding it back: so every layer reads a whole sentence in one call, and
    the attention of all its places is one product. `heads` attend side by side. `dropout` acts on the embeddings and on
    every layer's outputs, with one mask a row (arXiv 1512.05287). The last two fields come from the data:
    `source_vocabulary`, and `vocabulary` V; token V is "start".
    """

    cell: Cell = Cell.LSTM
    width: int = 256
    embedding: int = 256
    encoder_layers: int = 1
    layers: int = 2  # of the decoder
    heads: int = 1
    dropout: float = 0.2
    precision: Precision = Precision.FLOAT32
    source_vocabulary: int = 0
    vocabulary: int = 0

    layout = (
        Rule(r"(kernel|recurrent)$", COLUMN),
        Rule(r"cross/out/bias$", WHOLE),
        Rule(r"bias$", ("tensor",)),
        Rule(r"embedding$", ROW),
    )

    def __post_init__(self):
        check_sizes(self)
        if self.heads < 1 or self.width % self.heads or min(self.encoder_layers, self.layers) < 1:
            raise UserError(
                f"width is {self.width}, heads {self.heads}, encoder_layers {self.encoder_layers}, layers "
                f"{self.layers}; give heads that divide the width, and at least one layer of each"
            )
        super().__post_init__()

    def setup(self):
        how = self.cell, self.width, self.precision
        self.source_token = nn.Embed(self.source_vocabulary, self.embedding)
        self.encoder_layer = [BidirectionalLayer(*how) for _ in range(self.encoder_layers)]
        self.first_state = nn.Dense(self.layers * self.width)
        self.token = nn.Embed(self.vocabulary + 1, self.embedding)
        self.layer = [RecurrentLayer(*how) for _ in range(self.layers)]
        self.cross = CrossAttention(self.heads, self.width, self.precision)
        self.hidden = self.precision.dense(self.width)
        # zeros: an untrained network holds every token equally likely
        self.head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)

    def __call__(self, given: Sequence, tokens: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Logits [B, T, V] of what follows each of `tokens` [B, T]; `keys` [B] draw each row's dropout."""
        memory = self.encode(given, numbered(keys, 0))
        return self.decode(memory, tokens, numbered(keys, 1))

    def encode(self, given: Sequence, keys: jax.Array | None = None) -> Memory:
        """What the decoder begins with, and attends to, of each row of `given`."""
        x = dropped(self.source_token(given.values), self.dropout, numbered(keys, self.encoder_layers))
        for number, layer in enumerate(self.encoder_layer):
            x, ends = layer(x, given.mask)
            x = dropped(x, self.dropout, numbered(keys, number))
        first = jnp.split(jnp.tanh(self.first_state(ends)), self.layers, axis=-1)
        states = tuple((h, jnp.zeros_like(h)) if self.cell is Cell.LSTM else h for h in first)
        return Memory(self.cross.attended(x, given.mask), states)

    @nn.nowrap
    def carry(self, memory: Memory, beams: int, length: int) -> Carry:
        """The state before the first token of `beams` sentences for each row; it needs no room for more tokens."""
        return jax.tree.map(lambda leaf: jnp.repeat(leaf, beams, axis=0), memory.states)

    @nn.nowrap
    def grown(self, carry: Carry, length: int) -> Carry:
        """The same: a recurrent state holds any number of tokens."""
        return carry

    def decode(self, memory: Memory, tokens: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Logits [N, T, V] after each of `tokens` [N, T], N being B or a multiple of it, a row's own side by side."""
        carry = self.carry(memory, len(tokens) // len(memory.attended.mask), tokens.shape[1])
        return self._decoded(memory, tokens, carry, keys)[0]

    def step(self, memory: Memory, token: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
        """Logits [N, V] of what follows `token` [N], and the state after it."""
        logits, carry = self._decoded(memory, token[:, None], carry, None)
        return logits[:, 0], carry

    def _decoded(
        self, memory: Memory, tokens: jax.Array, carry: Carry, keys: jax.Array | None
    ) -> tuple[jax.Array, Carry]:
        x, after = dropped(self.token(tokens), self.dropout, numbered(keys, self.layers)), []
        for number, layer in enumerate(self.layer):
            x, state = layer(x, carry[number])
            x = dropped(x, self.dropout, numbered(keys, number))
            after.append(state)
            if number == 0:
                context = self.cross(x, memory.attended).astype(x.dtype)
            x = jnp.concatenate([x, context], axis=-1)
        size, length, _ = x.shape
        x = nn.tanh(self.hidden(x))
        x = dropped(x, self.dropout, numbered(keys, self.layers + 1))
        return self.head(x.reshape(-1, self.width)).reshape(size, length, -1), tuple(after)
