"""At which noise levels a diffusion model trains, and how much an error at each of them weighs."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError
from jaxgen.families.diffusion.denoiser import Denoiser
from jaxgen.families.diffusion.process import Process
from jaxgen.ops.noise import draw_sigmas, loss_weight
from jaxgen.ops.rows import normal, uniform


@dataclass(frozen=True)
class LogNormal:
    """ln σ ~ N(mean, std²) (table 1, arXiv 2206.00364), whatever the process."""

    mean: float = -0.4
    std: float = 1.2

    def __post_init__(self):
        _check_std(self.std)

    def sigmas(self, key: jax.Array, row: jax.Array, process: Process, low: float, high: float) -> jax.Array:
        """[B] σ to train at, each row its own; `low` and `high` are the smallest and largest σ of sampling."""
        return draw_sigmas(key, row, self.mean, self.std)


@dataclass(frozen=True)
class UniformTime:
    """t even over the process's own time between sigma_min and sigma_max (DDPM, flow matching)."""

    def sigmas(self, key: jax.Array, row: jax.Array, process: Process, low: float, high: float) -> jax.Array:
        return _at(process, uniform(key, row, ()), low, high)


@dataclass(frozen=True)
class LogitNormal:
    """The logit of the share of the process's time between sigma_min and sigma_max ~ N(mean, std²).

    With sigma_min towards 0 and sigma_max towards infinity it is, under FlowMatching, that of arXiv 2403.03206
    (section 3.1), and the same as LogNormal(mean, std): logit t = ln σ.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        _check_std(self.std)

    def sigmas(self, key: jax.Array, row: jax.Array, process: Process, low: float, high: float) -> jax.Array:
        return _at(process, jax.nn.sigmoid(self.mean + self.std * normal(key, row, ())), low, high)


@dataclass(frozen=True)
class EDMWeight:
    """λ(σ) = (σ² + σ_data²) / (σ σ_data)², under which every level weighs alike at first (arXiv 2206.00364)."""

    def __call__(self, σ: jax.Array, denoiser: Denoiser) -> jax.Array:
        """[B] weights of |x₀ − D|²."""
        return loss_weight(σ, denoiser.sigma_data)


@dataclass(frozen=True)
class PredictionWeight:
    """λ(σ) = 1 / c_out², the squared error of what the network predicts.

    That is DDPM's simple loss for NOISE (eq. 14, arXiv 2006.11239) and flow matching's for VELOCITY. LEVELS has none.
    """

    def __call__(self, σ: jax.Array, denoiser: Denoiser) -> jax.Array:
        return 1 / denoiser.affine(σ).c_out ** 2


@dataclass(frozen=True)
class MinSNR:
    """λ(σ) = min(1/σ², γ), the signal-to-noise ratio clipped (arXiv 2303.09556, section 3.4)."""

    gamma: float = 5.0

    def __post_init__(self):
        if not self.gamma > 0:
            raise UserError(f"weighting.gamma is {self.gamma}; give a number above 0")

    def __call__(self, σ: jax.Array, denoiser: Denoiser) -> jax.Array:
        return jnp.minimum(1 / σ**2, self.gamma)


TrainingNoise = LogNormal | UniformTime | LogitNormal
Weighting = EDMWeight | PredictionWeight | MinSNR


def _at(process: Process, share: jax.Array, low: float, high: float) -> jax.Array:
    """σ at a share of the process's time from that of `low` to that of `high`."""
    first, last = process.time(jnp.float32(low)), process.time(jnp.float32(high))
    return process.sigma(first + share * (last - first))


def _check_std(std: float) -> None:
    if not std >= 0:
        raise UserError(f"noise.std is {std}; give 0 or more")
