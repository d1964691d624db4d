"""A stacked recurrent network over tokens, with one set of parameters for whole sequences and for single steps."""
# SPDX-License-Identifier: Apache-2.0

import enum
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, ROW, Rule
from jaxgen.errors import UserError
from jaxgen.nn.conditions import Condition, Conditioned
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.nn.sizes import check_sizes
from jaxgen.ops.linear_recurrence import min_gru, rg_lru, rg_lru_decay
from jaxgen.ops.recurrence import gru, lstm
from jaxgen.ops.sequences import place_in_segment, within_segment

Carry = dict[str, Any]  # every leaf with the batch leading: "layers", "history" [B, n], "position" [B]


class Cell(enum.Enum):
    """What a layer keeps from step to step.

    The gates of MIN_GRU (arXiv 2410.01201) and RG_LRU (arXiv 2402.19427, eq. 1 to 4) look at the step's input alone, so
    that a layer is a linear recurrence without a recurrent matrix (ops/linear_recurrence.py).
    """

    LSTM = "lstm"
    GRU = "gru"
    MIN_GRU = "min_gru"
    RG_LRU = "rg_lru"

    @property
    def gates(self) -> int:
        """How many numbers a unit is given at each step."""
        return {Cell.LSTM: 4, Cell.GRU: 3, Cell.MIN_GRU: 2, Cell.RG_LRU: 3}[self]

    @property
    def linear(self) -> bool:
        """Whether it has no recurrent matrix."""
        return self in (Cell.MIN_GRU, Cell.RG_LRU)


class RecurrentLayer(nn.Module):
    """One layer over [B, T, D]; returns the outputs [B, T, width] and the state after them.

    Where `going` [B, T] is 0 a step starts from nothing, where it is 1 from the step before it (None: everywhere).
    `longest` is the number of places of the longest row, where rows are ragged: those after it need not be computed,
    their outputs mean nothing, and the state is that of no certain place.
    """

    cell: Cell
    width: int
    precision: Precision = Precision.FLOAT32

    @nn.compact
    def __call__(
        self, x: jax.Array, state: Any, going: jax.Array | None = None, longest: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        gates = self.cell.gates
        recurrent = None if self.cell.linear else self.param("recurrent", self._recurrent, gates)
        bias = self.param("bias", self._bias, gates)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], gates * self.width), jnp.float32)
        x = x if self.cell.linear else jnp.swapaxes(x, 0, 1)  # the loops of the others go through time
        inputs = self.precision.product(x, kernel, (((2,), (0,)), ((), ()))) + bias  # [., ., gates * width]
        if self.cell is Cell.MIN_GRU:
            return min_gru(inputs, state, going)
        if self.cell is Cell.RG_LRU:
            return rg_lru(inputs, self.param("decay", rg_lru_decay, self.width), state, going)
        recurrent = recurrent.astype(self.precision.dtype)
        if self.cell is Cell.LSTM:
            return lstm(inputs, recurrent, state, going, longest)
        inner = self.param("inner_bias", nn.initializers.zeros, (self.width,), jnp.float32)
        return gru(inputs, recurrent, inner, state, going, longest)

    def _recurrent(self, key: jax.Array, gates: int) -> jax.Array:
        """An orthogonal matrix for every gate, side by side."""
        orthogonal = nn.initializers.orthogonal()
        return jnp.concatenate(
            [orthogonal(k, (self.width, self.width), jnp.float32) for k in jax.random.split(key, gates)], axis=1
        )

    def _bias(self, key: jax.Array, gates: int) -> jax.Array:
        """Zeros, but 1 for an LSTM's forget gate, so that it remembers at the start (Jozefowicz et al. 2015)."""
        zeros = jnp.zeros(gates * self.width, jnp.float32)
        return zeros.at[self.width : 2 * self.width].set(1.0) if self.cell is Cell.LSTM else zeros

    @nn.nowrap
    def state(self, batch_size: int) -> Any:
        """The state before the first token."""
        zero = jnp.zeros((batch_size, self.width), jnp.float32)
        return (zero, zero) if self.cell is Cell.LSTM else zero


class RecurrentNetwork(nn.Module):
    """Logits of the next token after each token of a sequence.

    `token_shifts` says which earlier tokens each step is shown, counted back from the one that it predicts: (1,) is the
    plain language model, and 8 is the pixel above in a picture 8 wide. `head` is the width of a hidden layer that maps
    the states, and beside them what the step was shown, to the logits; 0 makes the logits a linear map of the states.
    With `residual` each layer but the first adds its outputs to what it read (arXiv 1609.08144, section 3.1).
    `dropout` acts on the input, on every layer's outputs and in the head, with one mask a row (arXiv 1512.05287).
    The last two fields come from the data: `vocabulary` V and `positions` (0: none). Token V is "start".
    """

    cell: Cell = Cell.LSTM
    width: int = 128
    layers: int = 1
    embedding: int = 64
    token_shifts: tuple[int, ...] = (1,)
    head: int = 0
    residual: bool = False
    dropout: float = 0.0
    precision: Precision = Precision.FLOAT32
    remat: Remat = Remat.NONE  # of each layer
    vocabulary: int = 0
    positions: int = 0
    layout = (
        Rule(r"(kernel|recurrent)$", COLUMN),
        Rule(r"(bias|decay)$", ("tensor",)),
        Rule(r"embedding$", ROW),
    )
    streams: ClassVar[bool] = True  # a text's state goes on from batch to batch

    def __post_init__(self):
        check_sizes(self)
        if not self.token_shifts or min(self.token_shifts) < 1:
            raise UserError(
                f"network.token_shifts is {self.token_shifts}; give the distances of earlier tokens, from 1 on"
            )
        super().__post_init__()

    @nn.nowrap
    def sized(self, vocabulary: int, positions: int, length: int) -> "RecurrentNetwork":
        return self.clone(vocabulary=vocabulary, positions=positions)

    @nn.nowrap
    def carry(self, batch_size: int, length: int) -> Carry:
        """The state before a sequence's first token; what an RNN keeps needs no more room for more tokens."""
        layer = RecurrentLayer(self.cell, self.width, parent=None)
        carry: Carry = {"layers": tuple(layer.state(batch_size) for _ in range(self.layers))}
        if max(self.token_shifts) > 1:
            carry["history"] = jnp.full((batch_size, max(self.token_shifts) - 1), self.vocabulary, jnp.int32)
        if self.positions:
            carry["position"] = jnp.zeros(batch_size, jnp.int32)
        return carry

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        carry: Carry | None,
        condition: Condition | None,
        keys: jax.Array | None = None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Carry]:
        """Logits [B, T, V] of what follows each of `tokens` [B, T], and the state after the last.

        `carry` None begins at the beginning. `keys` [B] draw each row's dropout; None drops nothing. Where `segment`
        [B, T] changes a document begins that knows nothing of the last.
        """
        carry = self.carry(len(tokens), tokens.shape[1]) if carry is None else carry
        shown, after = self._shown(tokens, carry, segment)
        going = None if segment is None else (place_in_segment(segment) > 0).astype(shown.dtype)
        if condition is not None:
            shown = shown + Conditioned(self.embedding, name="condition")(condition)[:, None]
        shown = x = dropped(shown, self.dropout, numbered(keys, self.layers))
        layer_class, states = self.remat.of(RecurrentLayer), []
        for number in range(self.layers):
            layer = layer_class(self.cell, self.width, self.precision, name=f"layer_{number}")
            y, state = layer(x, carry["layers"][number], going)
            y = dropped(y, self.dropout, numbered(keys, number))
            x = x + y if self.residual and number else y
            states.append(state)
        if self.head:
            x = nn.relu(self.precision.dense(self.head, name="hidden")(jnp.concatenate([x, shown], axis=-1)))
            x = dropped(x, self.dropout, numbered(keys, self.layers + 1))
        # zeros: an untrained network holds every token equally likely
        zeros = nn.initializers.zeros
        logits = self.precision.output(self.vocabulary, kernel_init=zeros, name="head")(x)
        return logits, after | {"layers": tuple(states)}

    def step(self, token: jax.Array, carry: Carry, condition: Condition | None) -> tuple[jax.Array, Carry]:
        """Logits [B, V] of what follows `token` [B], and the state after it."""
        logits, carry = self(token[:, None], carry, condition)
        return logits[:, 0], carry

    def _shown(self, tokens: jax.Array, carry: Carry, segment: jax.Array | None) -> tuple[jax.Array, Carry]:
        """The sum of the embeddings [B, T, D] that each step is shown, and the part of the state that they move."""
        length, furthest, after = tokens.shape[1], max(self.token_shifts), {}
        if furthest > 1:
            tokens = jnp.concatenate([carry["history"], tokens], axis=1)
            after["history"] = tokens[:, length:]
        x = 0.0
        for back in self.token_shifts:
            table = nn.Embed(self.vocabulary + 1, self.embedding, name=f"token_{back}")
            looked_at = tokens[:, furthest - back : furthest - back + length]
            x = x + table(looked_at if segment is None else within_segment(looked_at, segment, back, self.vocabulary))
        if self.positions:
            position = carry["position"][:, None] + jnp.arange(length, dtype=jnp.int32)
            x = x + nn.Embed(self.positions, self.embedding, name="position")(position)
            after["position"] = carry["position"] + length
        return x, after
