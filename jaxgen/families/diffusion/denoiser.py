"""What loss, samplers and bound know of a network: D(x, σ), the clean picture that is to be expected under noise."""
# SPDX-License-Identifier: Apache-2.0

import enum
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.nn.conditions import Condition
from jaxgen.ops.levels import to_unit
from jaxgen.ops.noise import preconditioning
from jaxgen.types import Params


class Prediction(enum.Enum):
    """What the network predicts for each pixel.

    PICTURE: the F of EDM's D = c_skip x + c_out F, for data of any range. LEVELS: how likely each grey level is, judged
    by all that is around; what the pixel's own noisy value says is multiplied in exactly, and D is the mean. Where the
    levels are few (17 in `digits`) no network has to learn rounding, which at small σ is all that is left to learn.
    """

    PICTURE = "picture"
    LEVELS = "levels"


@dataclass(frozen=True)
class Denoiser:
    """D(x, σ) of a network, for pictures [B, H, W, C] in [-1, 1] under noise of standard deviation σ [B]."""

    network: DiffusionTransformer
    prediction: Prediction
    sigma_data: float
    levels: int

    def __call__(
        self, params: Params, x: jax.Array, σ: jax.Array, condition: Condition | None, keys: jax.Array | None = None
    ) -> jax.Array:
        """[B, H, W, C]: the expected clean picture; `keys` [B] draw each row's dropout."""
        predicted = self._predicted(params, x, σ, condition, keys)
        if self.prediction is Prediction.LEVELS:
            return jax.nn.softmax(predicted + self._evidence(x, σ)) @ self._values
        c = preconditioning(_spread(σ), self.sigma_data)
        return c.c_skip * x + c.c_out * predicted[..., 0]  # eq. 7, arXiv 2206.00364

    def level_log_prob(self, params: Params, x: jax.Array, σ: jax.Array, condition: Condition | None) -> jax.Array:
        """[B, H, W, C, levels] nats: each pixel's own distribution over its levels, given the noisy picture."""
        if self.prediction is Prediction.LEVELS:
            return jax.nn.log_softmax(self._predicted(params, x, σ, condition, None) + self._evidence(x, σ))
        return jax.nn.log_softmax(self._evidence(self(params, x, σ, condition), σ))

    @property
    def _values(self) -> jax.Array:
        """[levels] numbers in [-1, 1]."""
        return to_unit(jnp.arange(self.levels), self.levels)

    def _predicted(
        self, params: Params, x: jax.Array, σ: jax.Array, condition: Condition | None, keys: jax.Array | None
    ) -> jax.Array:
        """[B, H, W, C, outputs] of the network itself."""
        c = preconditioning(σ, self.sigma_data)
        return self.network.apply({"params": params}, _spread(c.c_in) * x, c.c_noise, condition, keys)

    def _evidence(self, x: jax.Array, σ: jax.Array) -> jax.Array:
        """[B, H, W, C, levels]: log N(x; level, σ²) up to a constant."""
        return -0.5 * ((x[..., None] - self._values) / _spread(σ)[..., None]) ** 2


def _spread(σ: jax.Array) -> jax.Array:
    """[B] to [B, 1, 1, 1]."""
    return σ[:, None, None, None]
