"""The alphabet: axis letters, array names and the few types that every room shares.

B batch    T time, tokens    D features, width    V vocabulary    Z latent    K steps in a call
H height   W width           C channels           L layers        G gates
"""
# SPDX-License-Identifier: Apache-2.0

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

Key = jax.Array  # a typed PRNG key, jax.random.key(seed)
Params = Mapping[str, Any]  # a tree of parameters as Flax nests them
Batch = Mapping[str, jax.Array]  # named arrays with the batch as their leading axis; "row" numbers the examples
Metrics = dict[str, Any]  # names to Mean inside a program, names to float outside


class Unit(enum.Enum):
    """What one token of a text is: the unit that its likelihood is told in."""

    CHARACTER = "character"
    BYTE = "byte"
    WORD = "word"
    SUBWORD = "subword"  # several bytes, as many as Spec.token_bytes says


@dataclass(frozen=True)
class Spec:
    """What a source's batches are; tasks derive every size from it.

    Pictures are `image` [B, H, W, C] integer levels 0 .. levels-1; sequences are `tokens` [B, T+1] integers below
    `vocabulary` (an input and its shifted target share the array); `label` [B] is an integer below `classes`.
    `mask` [B, T] is true for the targets that count. The documents of a packed row are numbered by `segment` [B, T+1],
    0 is padding. What tokens are made from, a sentence to translate, is `source` [B, S] where `source_mask` is true;
    its targets begin with the token `vocabulary`, "start", which is never predicted. Recordings are `wave` [B, N]
    float32 in [-1, 1] at `rate` Hz, of which each row's first `wave_length` [B] samples are its own; a task that hears
    them sizes its features by them (`LogMel(rate=spec.rate).frames(spec.wave)` frames), and its words are `tokens` that
    begin and end as the targets of a `source` do. Clips are `clip` [B, T, H, W, C] integer levels; where it is known
    what moves in them, `position` and `speed` [B, T, N, 2] (row, column) in pixels and a frame, and `labels` [B, N].
    """

    image: tuple[int, int, int] | None = None  # H, W, C
    levels: int = 0  # grey levels of a picture's channel
    length: int = 0  # T of the tokens, 0 without tokens
    vocabulary: int = 0
    classes: int = 0  # 0: no labels
    continues: bool = False  # row b of a batch goes on where row b of the batch before it ended
    unit: Unit = Unit.CHARACTER  # of the tokens
    token_bytes: tuple[int, ...] = ()  # [V] how many bytes each token stands for, where that is certain
    padded: bool = False  # not all targets count
    packed: bool = False  # a row holds several documents, which know nothing of each other
    source_length: int = 0  # S, 0 without a source
    source_vocabulary: int = 0
    wave: int = 0  # N samples of a recording, 0 without recordings
    rate: int = 0  # Hz
    clip: tuple[int, int, int, int] | None = None  # T, H, W, C
    moving: int = 0  # N things in a clip whose positions and speeds are known

    def batch(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of a batch, so that a program can be lowered without data."""
        shapes = {"row": ((), jnp.int32)}
        if self.image is not None:
            shapes["image"] = (self.image, jnp.uint8)
        if self.length:
            shapes["tokens"] = ((self.length + 1,), jnp.int32)
        if self.padded or self.packed:
            shapes["mask"] = ((self.length,), jnp.bool_)
        if self.packed:
            shapes["segment"] = ((self.length + 1,), jnp.int32)
        if self.source_length:
            shapes["source"] = ((self.source_length,), jnp.int32)
            shapes["source_mask"] = ((self.source_length,), jnp.bool_)
        if self.wave:
            shapes["wave"] = ((self.wave,), jnp.float32)
            shapes["wave_length"] = ((), jnp.int32)
        if self.clip is not None:
            shapes["clip"] = (self.clip, jnp.uint8)
        if self.moving:
            known = (self.clip[0], self.moving, 2)
            shapes |= {"position": (known, jnp.float32), "speed": (known, jnp.float32)}
            shapes["labels"] = ((self.moving,), jnp.int32)
        if self.continues:
            shapes["fresh"] = ((), jnp.bool_)
        if self.classes:
            shapes["label"] = ((), jnp.int32)
        return {name: jax.ShapeDtypeStruct((batch_size, *shape), dtype) for name, (shape, dtype) in shapes.items()}


@struct.dataclass
class Extra:
    """State that no gradient flows into."""

    shared: Any = None  # the same on every device: codebook averages, calibration
    rows: Any = None  # runs along the batch and is cut like it: a carried RNN state


@struct.dataclass
class Variables:
    """All that a network needs: the parameters, and the state beside them."""

    params: Any
    extra: Extra = Extra()
