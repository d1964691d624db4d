"""A recurrent encoder over a recording whose every place gives the logits of a token: for recognition by CTC."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, Rule
from jaxgen.errors import UserError
from jaxgen.families.rnn.encoder_decoder import BidirectionalLayer, read_backward
from jaxgen.families.rnn.network import Cell, RecurrentLayer
from jaxgen.nn.conditions import Sequence
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.stems import SpeechStem

Carry = dict[str, Any]  # every leaf with the batch leading


class LatencyControlledLayer(nn.Module):
    """A layer read forward, and one read backward within each `chunk` places alone (arXiv 1510.08983, section 4).

    [B, S, D], the places [B, S] of a row's own and the forward state before the first to [B, S, 2 * width] and the
    state after the last. Outputs of whole chunks depend on nothing after these.
    """

    cell: Cell
    width: int
    chunk: int
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, own: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        forward, after = RecurrentLayer(self.cell, self.width, self.precision, name="forward")(x, state)
        size, length, width = x.shape
        more = -length % self.chunk
        chunks = jnp.pad(x, ((0, 0), (0, more), (0, 0))).reshape(-1, self.chunk, width)
        mask = jnp.pad(own, ((0, 0), (0, more))).reshape(-1, self.chunk)
        layer = RecurrentLayer(self.cell, self.width, self.precision, name="backward")
        backward = read_backward(layer, chunks, mask).reshape(size, length + more, -1)[:, :length]
        return jnp.concatenate([forward, backward], axis=-1), after


class RecurrentRecogniser(nn.Module):
    """Logits [B, S, V] of the token that each place of a recording tells, the last of them none (CTC's blank).

    Bidirectional layers (arXiv 1412.5567), or forward ones that read a recording as it comes, `chunk` places at a time;
    what is before a place is then known through the state, and nothing after it but what the stem has heard and, with
    `look_ahead`, the rest of its chunk. `vocabulary` V comes from the data.
    """

    cell: Cell = Cell.LSTM
    width: int = 192
    layers: int = 2
    bidirectional: bool = True
    chunk: int = 4  # places that are read at a time, where it is not bidirectional
    look_ahead: bool = False  # whether a place then knows of the others in its chunk, by backward layers
    dropout: float = 0.2
    precision: Precision = Precision.FLOAT32
    stem: SpeechStem = SpeechStem()
    vocabulary: int = 0

    layout = (
        Rule(r"(kernel|recurrent)$", COLUMN),
        Rule(r"(bias|decay)$", ("tensor",)),
    )

    def __post_init__(self):
        check_sizes(self)
        if min(self.layers, self.chunk) < 1:
            raise UserError(f"layers is {self.layers} and chunk {self.chunk}; give at least 1 of each")
        if self.bidirectional and self.look_ahead:
            raise UserError("a bidirectional network looks ahead of all; set look_ahead=false, or bidirectional=false")
        super().__post_init__()

    def setup(self):
        self.layer = [self._new_layer() for _ in range(self.layers)]
        # zeros: an untrained network holds every token equally likely
        self.head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)

    def __call__(self, given: Sequence, keys: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Logits [B, S, V] and the places [B, S] of a row's own; `keys` [B] draw each row's dropout."""
        x, own = self.stem(given.values, given.mask, self.width, numbered(keys, self.layers))
        x = dropped(nn.gelu(x), self.dropout, numbered(keys, self.layers + 1))
        states = self.begin(len(x))["layers"]
        for number, layer in enumerate(self.layer):
            x, _ = layer(x, own) if self.bidirectional else self._read(layer, x, own, states[number])
            x = dropped(x, self.dropout, numbered(keys, number))
        return self._logits(x), own

    def places(self, samples: int) -> int:
        """S of a recording of so many samples."""
        return self.stem.places(samples)

    @property
    def streams_places(self) -> int | None:
        """The places that are read at a time; None where a place knows of all others."""
        return None if self.bidirectional else self.chunk

    @nn.nowrap
    def begin(self, batch_size: int) -> Carry:
        """The state before the first window."""
        layer = RecurrentLayer(self.cell, self.width, parent=None)
        return {"layers": tuple(layer.state(batch_size) for _ in range(self.layers))}

    def advance(self, wave: jax.Array, frames: jax.Array, carry: Carry) -> tuple[jax.Array, jax.Array, Carry]:
        """Logits [B, chunk, V] of the next window of a recording (`SpeechStem.continued`), its places, the state."""
        x, own = self.stem.continued(wave, frames, self.width)
        x, after = nn.gelu(x), []
        for number, layer in enumerate(self.layer):
            x, state = self._read(layer, x, own, carry["layers"][number])
            after.append(state)
        return self._logits(x), own, {"layers": tuple(after)}

    def _new_layer(self) -> nn.Module:
        how = {"cell": self.cell, "width": self.width, "precision": self.precision}
        if self.bidirectional:
            return BidirectionalLayer(**how)
        return LatencyControlledLayer(**how, chunk=self.chunk) if self.look_ahead else RecurrentLayer(**how)

    def _read(self, layer: nn.Module, x: jax.Array, own: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        """What a layer that is not bidirectional makes of the next places, and the state after them."""
        return layer(x, own, state) if self.look_ahead else layer(x, state)

    def _logits(self, x: jax.Array) -> jax.Array:
        size, length, width = x.shape
        return self.head(x.reshape(-1, width)).reshape(size, length, -1)
