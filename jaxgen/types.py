"""The alphabet: axis letters, array names, modalities, and the few types that every package shares.

B batch    T time, tokens    D features, width    V vocabulary    Z latent    K steps in a call
H height   W width           C channels           L layers        G gates     S tokens of a given sequence
"""
# SPDX-License-Identifier: Apache-2.0

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

Key = jax.Array  # a typed PRNG key, jax.random.key(seed)
Params = Mapping[str, Any]  # a tree of parameters as Flax nests them
Arrays = Mapping[str, jax.Array]  # a modality's arrays by their names; the main one is "value"
Batch = Mapping[str, Any]  # "row" [B] numbers the examples; "given" {name: Arrays}; "made" Arrays; see Spec
Metrics = dict[str, Any]  # names to Mean inside a program, names to float outside

LOW_RANK = "_low_rank"  # ends the name of a layer of low rank, after that of the dense layer that it is added to


class Modality:
    """What a part of an example is. Subclasses are small frozen dataclasses of sizes alone.

    Class names, vocabularies and whatever else gives the numbers a meaning belong to the data. A user's own modality
    also defines `presents` (modalities/presents.py) and, where it may be given to a network, `condition`
    (nn/conditions.py).
    """

    levels = 0  # integer levels of "value" that stand for intensities; 0 where it holds something else
    continues = False  # whether row b of a batch goes on where row b of the batch before it ended

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's "value"."""
        raise NotImplementedError

    def has_numbers_of(self, other: "Modality") -> bool:
        """Whether the same numbers could stand for the same things in both: whatever else they are, as many tokens."""
        return self == other

    @property
    def elements(self) -> int:
        """The numbers of one example that a likelihood is over: a picture's levels, the tokens after the first."""
        return math.prod(self.shape)

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """The name, shape and dtype of each array of one example."""
        raise NotImplementedError


@dataclass(frozen=True)
class Label(Modality):
    """One of `classes` classes: `value` [B] int32."""

    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        return {"value": ((), jnp.int32)}


class Unit(enum.Enum):
    """What one token of a text is: the unit that its likelihood is told in."""

    CHARACTER = "character"
    BYTE = "byte"
    WORD = "word"
    SUBWORD = "subword"  # several bytes; evaluation batches say how many in "bytes" [B, T]


class Framing(enum.Enum):
    """How tokens fill a row."""

    ROWS = "rows"  # each row on its own, all of it counts
    STREAM = "stream"  # row b goes on where row b of the batch before it ended, unless its batch says "fresh" [B]
    PACKED = "packed"  # documents from "start" to "end", several a row by their "segment" (0: padding), each on its own
    TARGET = "target"  # one sentence, from the token V ("start", never predicted) to the token V - 1 ("end")
    SOURCE = "source"  # one sentence as it is given, without start and end


@dataclass(frozen=True)
class Tokens(Modality):
    """Integers below `vocabulary`: `value` [B, T+1] int32, an input and its shifted target in one array.

    `mask` [B, T] is true for the targets that count (PACKED, TARGET), `segment` [B, T+1] numbers documents (PACKED). Of
    a SOURCE `value` and `mask` are [B, T].
    """

    length: int  # T
    vocabulary: int  # V
    unit: Unit = Unit.CHARACTER
    framing: Framing = Framing.ROWS

    def has_numbers_of(self, other: Modality) -> bool:
        return isinstance(other, Tokens) and other.vocabulary == self.vocabulary

    @property
    def continues(self) -> bool:
        return self.framing is Framing.STREAM

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length if self.framing is Framing.SOURCE else self.length + 1,)

    @property
    def elements(self) -> int:
        return self.length

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        found = {"value": (self.shape, jnp.int32)}
        if self.framing in (Framing.PACKED, Framing.TARGET, Framing.SOURCE):
            found["mask"] = ((self.length,), jnp.bool_)
        if self.framing is Framing.PACKED:
            found["segment"] = (self.shape, jnp.int32)
        return found


@dataclass(frozen=True)
class Image(Modality):
    """A picture: `value` [B, H, W, C], integer levels 0 .. levels-1, uint8 where there are no more than 256 of them."""

    height: int
    width: int
    channels: int
    levels: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.height, self.width, self.channels

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        return {"value": (self.shape, jnp.uint8 if self.levels <= 256 else jnp.int32)}


@dataclass(frozen=True)
class Wave(Modality):
    """A recording: `value` [B, N] float32 in [-1, 1] at `rate` Hz, of which the first `length` [B] samples are its own.

    `LogMel(rate=wave.rate).frames(wave.samples)` is the number of feature frames.
    """

    samples: int  # N
    rate: int  # Hz

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.samples,)

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        return {"value": (self.shape, jnp.float32), "length": ((), jnp.int32)}


@dataclass(frozen=True)
class Clip(Modality):
    """A video: `value` [B, T, H, W, C] uint8 levels.

    Where it is known what moves in it, `position` and `speed` [B, T, N, 2] are (row, column) in pixels and pixels a
    frame, and `kind` [B, N] says which thing it is, -1 for none.
    """

    frames: int  # T
    height: int
    width: int
    channels: int
    levels: int
    moving: int = 0  # N

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frames, self.height, self.width, self.channels

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        found = {"value": (self.shape, jnp.uint8)}
        if self.moving:
            known = (self.frames, self.moving, 2)
            found |= {"position": (known, jnp.float32), "speed": (known, jnp.float32)}
            found["kind"] = ((self.moving,), jnp.int32)
        return found


@dataclass(frozen=True)
class Spec:
    """What a data set is for: what is made, and what is given for it. Tasks derive every size from it.

    A batch is {"row" [B], "given": {name: arrays}, "made": arrays}, with "fresh" [B] where rows go on from batch to
    batch (true where one starts from its beginning), and "weight" [B] where some rows count less, or not at all.
    """

    made: Modality
    given: tuple[tuple[str, Modality], ...] = ()  # none, one, or several: a class and a caption

    def batch(self, batch_size: int) -> dict[str, Any]:
        """The shapes of a batch, so that a program can be lowered without data."""

        def shapes(arrays: Mapping[str, tuple[tuple[int, ...], Any]]) -> dict[str, jax.ShapeDtypeStruct]:
            return {name: jax.ShapeDtypeStruct((batch_size, *shape), dtype) for name, (shape, dtype) in arrays.items()}

        own = {"row": ((), jnp.int32)} | ({"fresh": ((), jnp.bool_)} if self.made.continues else {})
        given = {name: shapes(modality.arrays()) for name, modality in self.given}
        return shapes(own) | {"given": given, "made": shapes(self.made.arrays())}


@struct.dataclass
class Extra:
    """State that no gradient flows into."""

    shared: Any = None  # the same on every device: codebook averages, calibration
    rows: Any = None  # runs along the batch and is cut like it: a carried RNN state


@struct.dataclass
class Variables:
    """All that a network needs: the parameters, the state beside them, and the variables of other runs (core/part.py).

    `parts` are never trained, never donated, and in no checkpoint of the run.
    """

    params: Any
    extra: Extra = Extra()
    parts: Mapping[str, "Variables"] = struct.field(default_factory=dict)  # a part's name -> its variables


Parts = Mapping[str, Variables]
NO_PARTS: Parts = {}  # an empty tree: as an argument of a program it has no leaves
