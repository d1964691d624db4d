"""A recurrent encoder over what is given and a recurrent decoder with attention: translation, speech, captions."""
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
from jaxgen.nn.multi_head_attention import Attended, CrossAttention, Wait, nothing_attended
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.stems import PictureStem, SpeechStem
from jaxgen.ops.rows import repeated

Carry = tuple[Any, ...]  # each layer's state, and the position [N] where it counts; every leaf with the batch leading

Reading = dict[str, Any]  # every leaf with the batch leading: "layers", "ends" [B, D], "position" [B], "memory"


@struct.dataclass
class Memory:
    """What the decoder has of what is given."""

    attended: Attended
    states: Carry  # the carry before the first token


class BidirectionalLayer(nn.Module):
    """One layer read forward and one read backward, [B, S, D] -> [B, S, 2 * width], and what both end with."""

    cell: Cell
    width: int
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The outputs, and [B, 2 * width] the forward ones after a row's last own place, the backward ones' first."""
        layer = RecurrentLayer(self.cell, self.width, self.precision, name="forward")
        forward, _ = layer(x, layer.state(len(x)), None, mask.sum(axis=1).max())  # the loop ends with the longest row
        backward = read_backward(RecurrentLayer(self.cell, self.width, self.precision, name="backward"), x, mask)
        last = mask.sum(axis=1) - 1
        ends = jnp.take_along_axis(forward, last[:, None, None], axis=1)[:, 0]
        return jnp.concatenate([forward, backward], axis=-1), jnp.concatenate([ends, backward[:, 0]], axis=-1)


def read_backward(layer: RecurrentLayer, x: jax.Array, mask: jax.Array) -> jax.Array:
    """[B, S, width]: a layer's outputs over [B, S, D] from each row's last own place of `mask` [B, S] to its first."""
    place, last = jnp.arange(x.shape[1]), mask.sum(axis=1, keepdims=True) - 1  # [B, 1]
    turned = jnp.where(place <= last, last - place, place)[..., None]  # its own inverse; what is padded stays last
    outputs, _ = layer(jnp.take_along_axis(x, turned, axis=1), layer.state(len(x)), None, mask.sum(axis=1).max())
    return jnp.take_along_axis(outputs, turned, axis=1)


class RecurrentEncoderDecoder(nn.Module):
    """Logits of the next token of a sentence after each of its tokens, under the sentence that is given.

    A bidirectional encoder and attention (arXiv 1409.0473), the attention asked by the decoder's lowest layer and given
    to all above it (arXiv 1609.08144), without feeding it back: so every layer reads a whole sentence in one call, and
    the attention of all its places is one product. `heads` attend side by side. `dropout` acts on the embeddings and on
    every layer's outputs, with one mask a row (arXiv 1512.05287).

    A recording or a picture is read by a `stem`; over a picture's places `encoder_layers` may be 0 (arXiv 1502.03044).
    Where it is not `bidirectional` a sentence can be translated as it is read. `align` (from the task) adds a layer for
    CTC over what is encoded. The last two fields come from the data: `source_vocabulary`, and `vocabulary` V; token V
    is "start".
    """

    cell: Cell = Cell.LSTM
    width: int = 256
    embedding: int = 256
    encoder_layers: int = 1
    layers: int = 2  # of the decoder
    heads: int = 1
    dropout: float = 0.2
    precision: Precision = Precision.FLOAT32
    bidirectional: bool = True
    stem: SpeechStem | PictureStem | None = None
    align: bool = False
    source_vocabulary: int = 0
    vocabulary: int = 0

    layout = (
        Rule(r"(kernel|recurrent)$", COLUMN),
        Rule(r"cross/out/bias$|stem/place$", WHOLE),
        Rule(r"(bias|decay)$", ("tensor",)),
        Rule(r"embedding$", ROW),
    )

    def __post_init__(self):
        check_sizes(self)
        if self.heads < 1 or self.width % self.heads or self.layers < 1 or self.encoder_layers < (self.stem is None):
            raise UserError(
                f"width is {self.width}, heads {self.heads}, encoder_layers {self.encoder_layers}, layers "
                f"{self.layers}; give heads that divide the width, and at least one layer of each"
            )
        super().__post_init__()

    def setup(self):
        how = self.cell, self.width, self.precision
        if self.stem is None:
            self.source_token = nn.Embed(self.source_vocabulary, self.embedding)
        kind = BidirectionalLayer if self.bidirectional else RecurrentLayer
        self.encoder_layer = [kind(*how) for _ in range(self.encoder_layers)]
        self.first_state = nn.Dense(self.layers * self.width)
        self.token = nn.Embed(self.vocabulary + 1, self.embedding)
        self.layer = [RecurrentLayer(*how) for _ in range(self.layers)]
        self.cross = CrossAttention(self.heads, self.width, self.precision)
        self.hidden = self.precision.dense(self.width)
        # zeros: an untrained network holds every token equally likely
        self.head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)
        if self.align:
            self.place_head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)

    @property
    def reads(self) -> int | None:
        """The places that are read at a time: none knows of any after them. None where a place knows of all."""
        return None if self.bidirectional or not self.encoder_layers else 1

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
        x, own, ends = self._encoded(given, numbered(keys, 0), wait)
        memory = self._memory(self.cross.attended(x, own, wait), ends)
        logits = self.decode(memory, tokens, numbered(keys, 1))
        return logits, self.place_head(x), own

    def encode(self, given: Sequence, keys: jax.Array | None = None, wait: Wait | None = None) -> Memory:
        """What the decoder begins with, and attends to, of each row of `given`.

        Where it is to `wait`, it begins with the places that its first token may see, and token t sees its own.
        """
        x, own, ends = self._encoded(given, keys, wait)
        return self._memory(self.cross.attended(x, own, wait), ends)

    def _encoded(
        self, given: Sequence, keys: jax.Array | None, wait: Wait | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The places [B, S, D], which of them are a row's own [B, S], and what the decoder begins with [B, D]."""
        x, own = self._read(given, numbered(keys, self.encoder_layers + 1))
        x, ends = dropped(x, self.dropout, numbered(keys, self.encoder_layers)), None
        for number, layer in enumerate(self.encoder_layer):
            x, ends = layer(x, own) if self.bidirectional else layer(x, layer.state(len(x)))
            x = dropped(x, self.dropout, numbered(keys, number))
        if not self.encoder_layers:
            counts = own.sum(axis=1, keepdims=True)
            return x, own, (jnp.where(own[..., None], x, 0).sum(axis=1) / jnp.maximum(counts, 1)).astype(x.dtype)
        if not self.bidirectional:
            ends, _ = _last(x, own, jnp.arange(x.shape[1])[None], wait)
        return x, own, ends

    def _read(self, given: Sequence, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        if self.stem is None:
            return self.source_token(given.values), given.mask
        x, own = self.stem(given.values, given.mask, self.embedding, keys)
        return nn.gelu(x), own

    def _memory(self, attended: Attended, ends: jax.Array) -> Memory:
        first = jnp.split(jnp.tanh(self.first_state(ends)), self.layers, axis=-1)
        states = tuple((h, jnp.zeros_like(h)) if self.cell is Cell.LSTM else h for h in first)
        return Memory(attended, states + _first_position(attended))

    @nn.nowrap
    def begin(self, batch_size: int, places: int, wait: Wait | None) -> Reading:
        """The state before the first window of what is given, which has so many places at most."""
        layer = RecurrentLayer(self.cell, self.width, parent=None)
        state, nothing = layer.state(batch_size), jnp.zeros((batch_size, self.width), self.precision.dtype)
        attended = nothing_attended(batch_size, places, self.heads, self.width, self.precision.dtype, wait)
        memory = Memory(attended, (state,) * self.layers + _first_position(attended))
        position = jnp.zeros(batch_size, jnp.int32)
        return {"layers": (state,) * self.encoder_layers, "ends": nothing, "position": position, "memory": memory}

    def read(self, given: Sequence, reading: Reading) -> Reading:
        """The state after some places: of a sentence, or of a recording as `SpeechStem.continued` has it."""
        if self.stem is None:
            x, own = self.source_token(given.values), given.mask
        else:
            x, own = self.stem.continued(given.values, given.mask, self.embedding)
            x = nn.gelu(x)
        position, attended, after = reading["position"], reading["memory"].attended, []
        for layer, state in zip(self.encoder_layer, reading["layers"], strict=True):
            x, state = layer(x, state)
            after.append(state)
        last, found = _last(x, own, position[:, None] + jnp.arange(x.shape[1]), attended.wait)
        ends = jnp.where(found[:, None], last, reading["ends"])
        memory = self._memory(self.cross.extended(attended, x, own, position), ends)
        return {"layers": tuple(after), "ends": ends, "position": position + x.shape[1], "memory": memory}

    @nn.nowrap
    def carry(self, memory: Memory, beams: int, length: int) -> Carry:
        """The state before the first token of `beams` sentences for each row; it needs no room for more tokens."""
        return repeated(memory.states, beams)

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
        position = carry[self.layers] if memory.attended.wait is not None else None
        x, after = dropped(self.token(tokens), self.dropout, numbered(keys, self.layers)), []
        for number, layer in enumerate(self.layer):
            x, state = layer(x, carry[number])
            x = dropped(x, self.dropout, numbered(keys, number))
            after.append(state)
            if number == 0:
                context = self.cross(x, memory.attended, position).astype(x.dtype)
            x = jnp.concatenate([x, context], axis=-1)
        size, length, _ = x.shape
        after += [] if position is None else [position + length]
        x = nn.tanh(self.hidden(x))
        x = dropped(x, self.dropout, numbered(keys, self.layers + 1))
        return self.head(x.reshape(-1, self.width)).reshape(size, length, -1), tuple(after)


def _first_position(attended: Attended) -> tuple[jax.Array, ...]:
    """The position [B] of the first token, where it counts."""
    return () if attended.wait is None else (jnp.zeros(len(attended.mask), jnp.int32),)


def _last(x: jax.Array, own: jax.Array, place: jax.Array, wait: Wait | None) -> tuple[jax.Array, jax.Array]:
    """[B, D] of `x` [B, S, D] at the last `own` place that the first token sees, and [B] whether there is one.

    `place` [B or 1, S] numbers the places.
    """
    first = jnp.zeros((1, 1), jnp.int32)
    count = (own if wait is None else own & (place < wait.seen(first))).sum(axis=1)
    return jnp.take_along_axis(x, count[:, None, None] - 1, axis=1)[:, 0], count > 0
