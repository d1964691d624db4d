"""What loss, samplers and bound know of a network: D(x, σ), the clean picture that is to be expected under noise."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.process import Affine, Prediction, Process, affine
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.conditions import Condition
from jaxgen.ops.levels import to_unit
from jaxgen.types import Params


@dataclass(frozen=True)
class Denoiser:
    """D(x, σ) of a network, for pictures [B, H, W, C] in [-1, 1] under noise of standard deviation σ [B]."""

    network: DiffusionTransformer | UNet
    prediction: Prediction
    process: Process
    sigma_data: float
    levels: int

    def __call__(
        self, params: Params, x: jax.Array, σ: jax.Array, condition: Condition | None, keys: jax.Array | None = None
    ) -> jax.Array:
        """[B, H, W, C]: the expected clean picture; `keys` [B] draw each row's dropout."""
        predicted = self._predicted(params, x, σ, condition, keys)
        if self.prediction is Prediction.LEVELS:
            return jax.nn.softmax(predicted + self._evidence(x, σ)) @ self._values
        return self.affine(spread(σ)).clean(predicted[..., 0], x)

    def affine(self, σ: jax.Array) -> Affine | None:
        """How what the network predicts gives D; none for a distribution over levels."""
        if self.prediction is Prediction.LEVELS:
            return None
        return affine(self.prediction, self.process, σ, self.sigma_data)

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
        c_in, c_noise = self.process.read(σ, self.sigma_data)
        return self.network.apply({"params": params}, spread(c_in) * x, c_noise, condition, keys)

    def _evidence(self, x: jax.Array, σ: jax.Array) -> jax.Array:
        """[B, H, W, C, levels]: log N(x; level, σ²) up to a constant."""
        return -0.5 * ((x[..., None] - self._values) / spread(σ)[..., None]) ** 2


def spread(σ: jax.Array) -> jax.Array:
    """[B] to [B, 1, 1, 1]."""
    return σ[:, None, None, None]
