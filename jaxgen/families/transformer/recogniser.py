"""An encoder over a recording whose every place gives the logits of a token: for recognition by CTC."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, Rule
from jaxgen.families.transformer.encoder import OF_ENCODERS, EncoderBlock, check_chunks
from jaxgen.nn.conditions import Sequence
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.multi_head_attention import check_rotary_heads
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes
from jaxgen.nn.stems import SpeechStem

Carry = dict[str, Any]  # every leaf with the batch leading


class TransformerRecogniser(nn.Module):
    """Logits [B, S, V] of the token that each place of a recording tells, the last of them none (CTC's blank).

    Transformer blocks, or with `kernel` Conformer blocks (arXiv 2005.08100). With `chunk` and `look_back` a place knows
    of its own chunk and so many before it (arXiv 2012.05481), and the recording can be read as it comes. `vocabulary` V
    comes from the data.
    """

    width: int = 128
    blocks: int = 4
    heads: int = 4
    hidden: int = 256
    kernel: int = 0
    chunk: int | None = None  # places
    look_back: int | None = None  # chunks
    dropout: float = 0.1
    precision: Precision = Precision.FLOAT32
    stem: SpeechStem = SpeechStem()
    vocabulary: int = 0

    layout = (*OF_ENCODERS, Rule("^head/kernel$", COLUMN), Rule("^head/bias$", ("tensor",)))

    def __post_init__(self):
        check_sizes(self)
        check_rotary_heads(self.width, self.heads)
        check_chunks(self.chunk, self.look_back, self.kernel)
        super().__post_init__()

    def setup(self):
        how = self.heads, self.hidden, self.dropout, self.precision, self.kernel, self.chunk, self.look_back
        self.block = [EncoderBlock(*how) for _ in range(self.blocks)]
        self.final_norm = nn.RMSNorm()
        # zeros: an untrained network holds every token equally likely
        self.head = self.precision.output(self.vocabulary, kernel_init=nn.initializers.zeros)

    def __call__(self, given: Sequence, keys: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Logits [B, S, V] and the places [B, S] of a row's own; `keys` [B] draw each row's dropout."""
        x, own = self.stem(given.values, given.mask, self.width, numbered(keys, self.blocks))
        x = dropped(x.astype(self.precision.dtype), self.dropout, numbered(keys, self.blocks + 1))
        for number, block in enumerate(self.block):
            x, _ = block(x, own, numbered(keys, number))
        return self._logits(x), own

    def places(self, samples: int) -> int:
        """S of a recording of so many samples."""
        return self.stem.places(samples)

    @property
    def streams_places(self) -> int | None:
        """The places that are read at a time; None where a place knows of all others."""
        return None if self.look_back is None else self.chunk

    @nn.nowrap
    def begin(self, batch_size: int) -> Carry:
        """The state before the first window."""
        how = self.heads, self.hidden, self.dropout, self.precision, self.kernel, self.chunk, self.look_back
        held = EncoderBlock(*how, parent=None).begin(batch_size, self.width, room=0)
        return {"blocks": (held,) * self.blocks, "position": jnp.zeros(batch_size, jnp.int32)}

    def advance(self, wave: jax.Array, frames: jax.Array, carry: Carry) -> tuple[jax.Array, jax.Array, Carry]:
        """Logits [B, chunk, V] of the next window of a recording (`SpeechStem.continued`), its places, the state."""
        x, own = self.stem.continued(wave, frames, self.width)
        x, after = x.astype(self.precision.dtype), []
        for number, block in enumerate(self.block):
            x, held = block(x, own, None, carry["blocks"][number], carry["position"])
            after.append(held)
        position = carry["position"] + x.shape[1]
        return self._logits(x), own, {"blocks": tuple(after), "position": position}

    def _logits(self, x: jax.Array) -> jax.Array:
        size, length, width = x.shape
        return self.head(self.final_norm(x).reshape(-1, width)).reshape(size, length, -1)
