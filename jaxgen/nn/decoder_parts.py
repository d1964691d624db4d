"""What a decoder's blocks are built from: positions, norms, activations and the other parts that papers vary."""
# SPDX-License-Identifier: Apache-2.0

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.errors import UserError


class Position(enum.Enum):
    """How a token's place is told."""

    ROTARY = "rotary"  # queries and keys are turned by it (arXiv 2104.09864)
    LEARNED = "learned"  # an embedding of each place is added (arXiv 1706.03762, section 3.5)
    NONE = "none"  # by the causal mask alone (arXiv 2203.16634)


class Norm(enum.Enum):
    """What a layer's input is divided by."""

    RMS = "rms"  # its root mean square (arXiv 1910.07467)
    LAYER = "layer"  # its standard deviation, the mean taken off and a bias added (arXiv 1607.06450)

    @property
    def module(self) -> Callable[..., nn.Module]:
        return {Norm.RMS: nn.RMSNorm, Norm.LAYER: nn.LayerNorm}[self]


class Activation(enum.Enum):
    """What is between an MLP's layers."""

    GELU = "gelu"  # arXiv 1606.08415
    RELU_SQUARED = "relu squared"  # arXiv 2109.08668
    SWIGLU = "swiglu"  # SiLU of one layer times another layer (arXiv 2002.05202): half as many weights again

    def __call__(self, x: jax.Array) -> jax.Array:
        """Of one layer's results [..., H]; SWIGLU's other layer is the MLP's."""
        match self:
            case Activation.GELU:
                return nn.gelu(x)
            case Activation.RELU_SQUARED:
                return jnp.square(nn.relu(x))
            case Activation.SWIGLU:
                return nn.silu(x)


@dataclass(frozen=True)
class DecoderParts:
    """The parts of a Transformer decoder.

    `query_key_norm` divides each head's queries and keys by their root mean square (arXiv 2302.05442, there by layer
    norm), before they are turned. `zero_init` begins with zeros in the last layer of each attention and MLP, so that
    blocks begin as the identity (arXiv 2203.03466, appendix D.2). `tied_head` takes the logits by the table of token
    embeddings, without a bias (arXiv 1608.05859); an untrained network's tokens are then not equally likely.
    `soft_cap` c keeps logits within (-c, c), as c tanh(logits / c) (arXiv 2408.00118); 0: does not.
    """

    position: Position = Position.ROTARY
    norm: Norm = Norm.RMS
    activation: Activation = Activation.GELU
    query_key_norm: bool = False
    zero_init: bool = False
    tied_head: bool = False
    soft_cap: float = 0.0

    def __post_init__(self):
        if not 0 <= self.soft_cap < math.inf:
            raise UserError(f"soft_cap is {self.soft_cap}; give the largest logit, such as 15, or 0 for none")

    def capped(self, logits: jax.Array) -> jax.Array:
        """`logits` within `soft_cap`, where there is one."""
        return self.soft_cap * jnp.tanh(logits / self.soft_cap) if self.soft_cap else logits


def out_init(zero: bool) -> nn.initializers.Initializer:
    """Of the kernel of a branch's last layer."""
    return nn.initializers.zeros if zero else nn.linear.default_kernel_init
