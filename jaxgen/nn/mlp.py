"""The two dense layers of a transformer block."""
# SPDX-License-Identifier: Apache-2.0

import jax
from flax import linen as nn

from jaxgen.nn.decoder_parts import Activation, out_init
from jaxgen.nn.precision import Precision


class MLP(nn.Module):
    """[..., D] -> [..., D], position by position, through `hidden` units (eq. 2, arXiv 1706.03762).

    SWIGLU has a layer "gate" besides, whose units the activated ones are multiplied by. `zero_init`: it begins as zero.
    """

    hidden: int
    precision: Precision = Precision.FLOAT32
    activation: Activation = Activation.GELU
    zero_init: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        flat = x.reshape(-1, x.shape[-1])  # on a CPU the gradient of [B, T, D] @ [D, E] takes longer
        hidden = self.activation(self.precision.dense(self.hidden, name="in")(flat))
        if self.activation is Activation.SWIGLU:
            hidden = hidden * self.precision.dense(self.hidden, name="gate")(flat)
        out = self.precision.dense(x.shape[-1], kernel_init=out_init(self.zero_init), name="out")
        return out(hidden).reshape(x.shape)
