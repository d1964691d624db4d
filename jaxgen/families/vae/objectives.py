"""What a VAE's training lowers: the negative evidence bound, perhaps with other weights, or the importance-weighted."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgen.errors import UserError
from jaxgen.families.vae.bounds import Drawn


@dataclass(frozen=True)
class EvidenceBound:
    """-E log p(x | z) + beta * KL, the mean of `samples` samples of the posterior (arXiv 1312.6114, eq. 3).

    `beta` weighs the divergence (arXiv 1804.03599); it rises to that linearly from 0 over the first `warmup` updates
    that are taken (arXiv 1602.02282). A stochastic layer's divergence below `free_nats` costs as much as those (free
    bits, arXiv 1606.04934), each example's by itself. Evaluations know nothing of all this.
    """

    samples: int = 1
    beta: float = 1.0
    warmup: int = 0
    free_nats: float = 0.0

    def __post_init__(self):
        if self.samples < 1 or self.warmup < 0:
            raise UserError(
                f"objective.samples is {self.samples} and warmup {self.warmup}; give at least 1, and 0 or more"
            )
        if not (self.beta >= 0 and self.free_nats >= 0):
            raise UserError(f"objective.beta is {self.beta} and free_nats {self.free_nats}; give 0 or more")

    def __call__(self, drawn: Drawn, updates: jax.Array | None) -> jax.Array:
        """[B] nats; `updates` is how many were taken before, where there is a warm-up."""
        kl = jnp.maximum(drawn.kl, self.free_nats) if self.free_nats else drawn.kl
        kl = kl.sum(axis=0)  # [K, B]
        if self.warmup:
            kl = self.beta * jnp.minimum(updates / self.warmup, 1.0) * kl
        elif self.beta != 1:
            kl = self.beta * kl
        return jnp.mean(-drawn.log_likelihood + kl, axis=0)


@dataclass(frozen=True)
class ImportanceWeightedBound:
    """-log of the mean of `samples` importance weights (arXiv 1509.00519, eq. 8)."""

    samples: int = 50
    warmup = 0

    def __post_init__(self):
        if self.samples < 1:
            raise UserError(f"objective.samples is {self.samples}; give at least 1")

    def __call__(self, drawn: Drawn, updates: jax.Array | None) -> jax.Array:
        """[B] nats."""
        return math.log(self.samples) - jax.nn.logsumexp(drawn.log_weights, axis=0)


Objective = EvidenceBound | ImportanceWeightedBound
