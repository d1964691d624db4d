"""The blocks of an encoder: a Transformer's and a Conformer's, over a whole sequence or chunk by chunk."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.core.layout import COLUMN, ROW, WHOLE, Rule
from jaxgen.errors import UserError
from jaxgen.nn.chunked_attention import ChunkedAttention, nothing_held
from jaxgen.nn.dropout import dropped, numbered
from jaxgen.nn.mlp import MLP
from jaxgen.nn.multi_head_attention import SelfAttention
from jaxgen.nn.precision import Precision

Held = dict[str, Any]  # of earlier places; every leaf with the batch leading

# how the parameters of the blocks, and of a stem before them, lie over a mesh
OF_ENCODERS = (
    Rule(r"(query_key_value|mlp/in|convolution_in|stem/patch|stem/convolution_\d+)/kernel$", COLUMN),
    Rule(r"(query_key_value|mlp/in|convolution_in|stem/patch|stem/convolution_\d+)/bias$", ("tensor",)),
    Rule(r"(attention/out|mlp/out|convolution_out|stem/out)/kernel$", ROW),
    Rule(r"(attention/out|mlp/out|convolution_out|stem/out)/bias$|norm/scale$|/convolution$|stem/place$", WHOLE),
)


class EncoderBlock(nn.Module):
    """Self-attention over one's own places, then an MLP, each added to what it read through a norm.

    With `kernel` it is a Conformer's (arXiv 2005.08100): half an MLP, attention, a convolution so many places wide,
    half an MLP, and a norm. With `chunk` a place sees its own chunk and `look_back` before it, and the convolution
    looks back alone, so that a sequence can be read chunk by chunk.
    """

    heads: int
    hidden: int
    dropout: float
    precision: Precision
    kernel: int = 0
    chunk: int | None = None
    look_back: int | None = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        own: jax.Array,
        keys: jax.Array | None,
        held: Held | None = None,
        position: jax.Array | None = None,
    ) -> tuple[jax.Array, Held | None]:
        """[B, T, D]; `own` [B, T] are a row's places. With `held` one chunk that begins at `position` [B]."""
        after: Held = {}
        if self.kernel:
            x = x + 0.5 * dropped(self._mlp("first_mlp")(x), self.dropout, numbered(keys, 2))
        y = nn.RMSNorm(name="attention_norm")(x)
        if self.chunk is None:
            segment = own.astype(jnp.int32)  # what is padded is a segment of its own
            attention = SelfAttention(self.heads, rotary=True, precision=self.precision, name="attention")
            y, _ = attention(y, segment=segment)
        else:
            how = self.heads, self.chunk, self.look_back, self.precision
            before = None if held is None else held["attention"]
            y, after["attention"] = ChunkedAttention(*how, name="attention")(y, own, before, position)
        x = x + dropped(y, self.dropout, numbered(keys, 0))
        if self.kernel:
            before = None if held is None else held["convolution"]
            y, after["convolution"] = self._convolution(x, own, before)
            x = x + dropped(y, self.dropout, numbered(keys, 3))
        y = dropped(self._mlp("mlp")(x), self.dropout, numbered(keys, 1))
        x = x + (0.5 * y if self.kernel else y)
        return nn.RMSNorm(name="out_norm")(x) if self.kernel else x, None if held is None else after

    def _mlp(self, name: str) -> Any:
        norm, mlp = nn.RMSNorm(name=f"{name}_norm"), MLP(self.hidden, self.precision, name=name)
        return lambda x: mlp(norm(x))

    def _convolution(self, x: jax.Array, own: jax.Array, before: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """A Conformer's convolution, and its last inputs, which the next chunk begins with."""
        width, shape = x.shape[-1], x.shape
        y = self.precision.dense(2 * width, name="convolution_in")(nn.RMSNorm(name="convolution_norm")(x))
        y = jnp.where(own[..., None], nn.glu(y), 0.0)
        behind = self.kernel - 1 if self.chunk is not None else self.kernel // 2
        before = jnp.zeros((shape[0], behind, width), y.dtype) if before is None else before
        y = jnp.concatenate([before, y, jnp.zeros((shape[0], self.kernel - 1 - behind, width), y.dtype)], axis=1)
        weights = self.param("convolution", nn.initializers.lecun_normal(), (self.kernel, width), jnp.float32)
        mixed = sum(y[:, n : n + shape[1]] * weights[n].astype(y.dtype) for n in range(self.kernel))
        mixed = nn.silu(nn.RMSNorm(name="mixed_norm")(mixed))
        return self.precision.dense(width, name="convolution_out")(mixed), y[:, shape[1] : shape[1] + behind]

    @nn.nowrap
    def begin(self, batch_size: int, width: int, room: int) -> Held:
        """What is held before the first chunk of `room` places at most."""
        places = room if self.look_back is None else self.look_back * self.chunk
        held: Held = {"attention": nothing_held(batch_size, places, self.heads, width, self.precision.dtype)}
        if self.kernel:
            held["convolution"] = jnp.zeros((batch_size, self.kernel - 1, width), self.precision.dtype)
        return held


def check_chunks(chunk: int | None, look_back: int | None, kernel: int) -> None:
    """UserError for sizes that no encoder can have."""
    if (chunk is not None and chunk < 1) or (look_back is not None and (look_back < 1 or chunk is None)) or kernel < 0:
        raise UserError(
            f"network.chunk is {chunk}, look_back {look_back} and kernel {kernel}; give a chunk of at least one place "
            "with at least one to look back at, or none, and a kernel of 0 or more"
        )
