"""Diffusion processes, and what a network may predict, as conversions to one seam: D(x, σ), the expected clean picture.

A process makes of a clean picture x₀ and noise ε ~ N(0, I), at time t,

    x_t = s(t) (x₀ + σ(t) ε)                                                                                         (1)

so that x = x_t / s(t) = x₀ + σ ε is the same for all: a process is a change of scale and time. Losses, samplers,
bounds and restoration know x, σ and D(x, σ) = E[x₀ | x] alone. D gives all that is predicted elsewhere:

    ε̂ = (x − D) / σ                                noise, which is also dx/dσ of the probability flow                (2)
    v = (ε̂ − σ D) / √(1 + σ²)                      v-prediction (arXiv 2202.00512, section 4)                        (3)
    ∇ log p(x_t) = (D − x) / (s σ²)                score (arXiv 2206.00364, eq. 3)                                   (4)
    u = dx_t/dt = ṡ x + s σ̇ ε̂                      velocity of the probability flow (arXiv 2206.00364, eq. 4)        (5)

The processes:

    s = 1, σ = t                                   variance exploding, as EDM has it (arXiv 2206.00364)              (6)
    s = 1/√(1 + σ²), σ² = exp(½ (β₁ − β₀) t² + β₀ t) − 1   variance preserving, DDPM (arXiv 2011.13456, eq. 33)      (7)
    s = 1 − t, σ = t/(1 − t)                       flow matching on a straight path, u = ε − x₀ (arXiv 2210.02747)   (8)

Each prediction F is affine in D at every σ, so one pair of numbers converts it there and back:

    D = c_skip(σ) x + c_out(σ) F                                                                                     (9)
"""
# SPDX-License-Identifier: Apache-2.0

import enum
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError
from jaxgen.ops.noise import preconditioning


class Affine(NamedTuple):
    """D = c_skip x + c_out F (eq. 9), both [B] or of σ's shape."""

    c_skip: jax.Array
    c_out: jax.Array

    def clean(self, predicted: jax.Array, x: jax.Array) -> jax.Array:
        """D of what is predicted."""
        return self.c_skip * x + self.c_out * predicted

    def predicted(self, clean: jax.Array, x: jax.Array) -> jax.Array:
        """What a network with this D predicts."""
        return (clean - self.c_skip * x) / self.c_out


@dataclass(frozen=True)
class VarianceExploding:
    """x_t = x₀ + t ε (eq. 6); the network reads x scaled to variance 1, and ln σ / 4 (table 1, arXiv 2206.00364)."""

    def sigma(self, t: jax.Array) -> jax.Array:
        return t

    def time(self, σ: jax.Array) -> jax.Array:
        return σ

    def scale(self, σ: jax.Array) -> jax.Array:
        return jnp.ones_like(σ)

    def velocity(self, σ: jax.Array) -> Affine:
        """Of eq. 5, which is eq. 2 here."""
        return Affine(jnp.ones_like(σ), -σ)

    def read(self, σ: jax.Array, σ_data: float) -> tuple[jax.Array, jax.Array]:
        """c_in, by which x is scaled before the network reads it, and c_noise, which tells it the time."""
        c = preconditioning(σ, σ_data)
        return c.c_in, c.c_noise


@dataclass(frozen=True)
class VariancePreserving:
    """DDPM's process in continuous time (eq. 7); the network reads x_t and t."""

    beta_min: float = 0.1  # β₀, a thousand times the first variance of arXiv 2006.11239
    beta_max: float = 20.0  # β₁

    def __post_init__(self):
        if not 0 < self.beta_min <= self.beta_max:
            raise UserError(
                f"process.beta_min is {self.beta_min} and beta_max {self.beta_max}; give numbers above 0, the smaller "
                "first"
            )

    def sigma(self, t: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.expm1(0.5 * (self.beta_max - self.beta_min) * t**2 + self.beta_min * t))

    def time(self, σ: jax.Array) -> jax.Array:
        """The root of ½ (β₁ − β₀) t² + β₀ t = ln(1 + σ²), in the form that loses no digits."""
        total = jnp.log1p(σ**2)
        return 2 * total / (self.beta_min + jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * total))

    def scale(self, σ: jax.Array) -> jax.Array:
        return jax.lax.rsqrt(1 + σ**2)

    def velocity(self, σ: jax.Array) -> Affine:
        """Of eq. 5 with ṡ = −½ β s and σ̇ = ½ β (1 + σ²) / σ."""
        β = self.beta_min + (self.beta_max - self.beta_min) * self.time(σ)
        return Affine(1 / (1 + σ**2), -2 * σ**2 * self.scale(σ) / β)

    def read(self, σ: jax.Array, σ_data: float) -> tuple[jax.Array, jax.Array]:
        return self.scale(σ), self.time(σ)


@dataclass(frozen=True)
class FlowMatching:
    """x_t = (1 − t) x₀ + t ε (eq. 8); the network reads x_t and t."""

    def sigma(self, t: jax.Array) -> jax.Array:
        return t / (1 - t)

    def time(self, σ: jax.Array) -> jax.Array:
        return σ / (1 + σ)

    def scale(self, σ: jax.Array) -> jax.Array:
        return 1 / (1 + σ)

    def velocity(self, σ: jax.Array) -> Affine:
        """Of u = ε̂ − D: D = x_t − t u."""
        return Affine(self.scale(σ), -self.time(σ))

    def read(self, σ: jax.Array, σ_data: float) -> tuple[jax.Array, jax.Array]:
        return self.scale(σ), self.time(σ)


Process = VarianceExploding | VariancePreserving | FlowMatching


class Prediction(enum.Enum):
    """What the network predicts for each pixel.

    PICTURE: the F of EDM's preconditioning, for data of any range. X0, NOISE, V, SCORE, VELOCITY: the clean picture and
    equations 2 to 5, for what was published with them. LEVELS: how likely each grey level is, judged by all that is
    around; what the pixel's own noisy value says is multiplied in exactly, and D is the mean. Where the levels are few
    (17 in `digits`) no network has to learn rounding, which at small σ is all that is left to learn.
    """

    PICTURE = "picture"
    LEVELS = "levels"
    X0 = "x0"
    NOISE = "noise"
    V = "v"
    SCORE = "score"
    VELOCITY = "velocity"


def affine(prediction: Prediction, process: Process, σ: jax.Array, σ_data: float) -> Affine:
    """The pair of eq. 9 for what a network predicts; LEVELS, which gives a distribution, has none."""
    match prediction:
        case Prediction.PICTURE:
            c = preconditioning(σ, σ_data)
            return Affine(c.c_skip, c.c_out)  # eq. 7, arXiv 2206.00364
        case Prediction.X0:
            return Affine(jnp.zeros_like(σ), jnp.ones_like(σ))
        case Prediction.NOISE:
            return Affine(jnp.ones_like(σ), -σ)
        case Prediction.V:
            return Affine(1 / (1 + σ**2), -σ * jax.lax.rsqrt(1 + σ**2))
        case Prediction.SCORE:
            return Affine(jnp.ones_like(σ), process.scale(σ) * σ**2)
        case Prediction.VELOCITY:
            return process.velocity(σ)
    raise ValueError(f"{prediction} is no affine function of D")
