"""What a VAE's training lowers: the negative evidence bound, perhaps with other weights, or the importance-weighted."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from jaxgen.core.mean import Mean
from jaxgen.errors import UserError
from jaxgen.families.vae.bounds import Drawn

_KEPT = 0.95  # of a layer's moving average, an update


@struct.dataclass
class Past:
    """What an objective with a warm-up knows of the updates that were taken; part of the train state."""

    updates: jax.Array  # int32
    layer_nats: jax.Array | None  # [L] moving averages of the stochastic layers' divergences, where they are balanced

    @classmethod
    def at_first(cls, layers: int | None) -> "Past":
        return cls(jnp.int32(0), None if layers is None else jnp.ones(layers, jnp.float32))

    def absorb(self, taken: Mean) -> "Past":
        """It after one more update, whose divergences [L] are `taken`."""
        nats = self.layer_nats
        if nats is not None:
            nats = _KEPT * nats + (1 - _KEPT) * jnp.maximum(taken.value, 0.0)
        return Past(self.updates + 1, nats)


@dataclass(frozen=True)
class EvidenceBound:
    """-E log p(x | z) + beta * KL, the mean of `samples` samples of the posterior (arXiv 1312.6114, eq. 3).

    `beta` weighs the divergence (arXiv 1804.03599); it rises to that linearly from 0 over the first `warmup` updates
    that are taken (arXiv 1602.02282). A stochastic layer's divergence below `free_nats` costs as much as those (free
    bits, arXiv 1606.04934), each example's by itself. With `balance` a layer's divergence is weighed, as long as the
    warm-up lasts, by the layer's share of all of them, the mean weight being 1: no layer is given up for another that
    was there first (arXiv 2007.03898, appendix A). Evaluations know nothing of all this.
    """

    samples: int = 1
    beta: float = 1.0
    warmup: int = 0
    free_nats: float = 0.0
    balance: bool = False

    def __post_init__(self):
        if self.samples < 1 or self.warmup < 0:
            raise UserError(
                f"objective.samples is {self.samples} and warmup {self.warmup}; give at least 1, and 0 or more"
            )
        if not (self.beta >= 0 and self.free_nats >= 0):
            raise UserError(f"objective.beta is {self.beta} and free_nats {self.free_nats}; give 0 or more")
        if self.balance and not self.warmup:
            raise UserError("objective.balance is for the time of a warm-up; set objective.warmup, or leave it out")

    def __call__(self, drawn: Drawn, past: Past | None) -> jax.Array:
        """[B] nats; `past` where there is a warm-up."""
        kl = jnp.maximum(drawn.kl, self.free_nats) if self.free_nats else drawn.kl  # [L, K, B]
        if self.balance:
            share = jnp.where(past.updates < self.warmup, past.layer_nats / past.layer_nats.mean(), 1.0)
            kl = share[:, None, None] * kl
        kl = kl.sum(axis=0)
        if self.warmup:
            kl = self.beta * jnp.minimum(past.updates / self.warmup, 1.0) * kl
        elif self.beta != 1:
            kl = self.beta * kl
        return jnp.mean(-drawn.log_likelihood + kl, axis=0)


@dataclass(frozen=True)
class ImportanceWeightedBound:
    """-log of the mean of `samples` importance weights (arXiv 1509.00519, eq. 8)."""

    samples: int = 50
    warmup = 0
    balance = False

    def __post_init__(self):
        if self.samples < 1:
            raise UserError(f"objective.samples is {self.samples}; give at least 1")

    def __call__(self, drawn: Drawn, past: Past | None) -> jax.Array:
        """[B] nats."""
        return math.log(self.samples) - jax.nn.logsumexp(drawn.log_weights, axis=0)


Objective = EvidenceBound | ImportanceWeightedBound
