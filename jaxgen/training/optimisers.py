"""Optimisers and schedules as descriptions that build optax."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import optax

from jaxgen.errors import UserError


@dataclass(frozen=True)
class Cosine:
    """A linear warm-up to `peak`, then half a cosine down to `floor * peak` at the run's last update."""

    peak: float
    warmup: int = 0  # updates
    floor: float = 0.0  # a share of the peak

    def __post_init__(self):
        if not (self.peak > 0 and self.warmup >= 0 and 0 <= self.floor <= 1):
            raise UserError(
                f"peak is {self.peak}, warmup {self.warmup}, floor {self.floor}; give a peak above 0, a warmup of 0 or "
                "more updates, and a floor from 0 to 1 of the peak"
            )

    def build(self, updates: int) -> optax.Schedule:
        return optax.warmup_cosine_decay_schedule(
            init_value=0.0 if self.warmup else self.peak,
            peak_value=self.peak,
            warmup_steps=self.warmup,
            decay_steps=max(updates, self.warmup + 1),
            end_value=self.floor * self.peak,
        )


@dataclass(frozen=True)
class AdamW:
    """AdamW: Adam (arXiv 1412.6980), with decoupled weight decay (arXiv 1711.05101) where `weight_decay` is not 0.

    `clip` bounds the global norm of the gradient of the leaves that move; 0 leaves it alone.
    """

    learning_rate: float | Cosine = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 0.0

    def __post_init__(self):
        if not (0 <= self.b1 < 1 and 0 <= self.b2 < 1):
            raise UserError(
                f"b1 is {self.b1} and b2 {self.b2}; Adam's moments need values from 0 up to, not including, 1"
            )
        if not (self.clip >= 0 and self.weight_decay >= 0 and self.eps > 0):
            raise UserError(
                f"clip is {self.clip}, weight_decay {self.weight_decay}, eps {self.eps}; give no negative numbers, and "
                "eps above 0"
            )

    def build(self, updates: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `updates` updates."""
        rate = self.learning_rate.build(updates) if isinstance(self.learning_rate, Cosine) else self.learning_rate
        adam = optax.adamw(rate, b1=self.b1, b2=self.b2, eps=self.eps, weight_decay=self.weight_decay)
        return optax.chain(optax.clip_by_global_norm(self.clip), adam) if self.clip else adam
