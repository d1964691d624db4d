"""Optimisers as descriptions that build optax.

Each update is -rate * (the rule's direction + weight_decay * parameter): decay is decoupled from the gradient
(arXiv 1711.05101) and, by default, of matrices alone.
"""
# SPDX-License-Identifier: Apache-2.0

import abc
import math
import re
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import optax
from optax import contrib

from jaxgen.core.masks import Matching
from jaxgen.errors import UserError
from jaxgen.training.groups import DecayOn, Group, block_by_block, checked, decayed, each, is_matrix, rank, scaled
from jaxgen.training.schedules import AnySchedule, bounded, scale_by_rate

# The last layers of this package's networks, which Muon leaves to AdamW.
HEADS = r"(^|/)(head|to_output|to_picture|final/out|likelihood)/kernel$"


@runtime_checkable
class Optimiser(Protocol):
    """Any frozen dataclass with such a `build` is an optimiser."""

    def build(self, updates: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `updates` updates."""


@dataclass(frozen=True)
class Common(abc.ABC):
    """What the shipped optimisers share; `clip` bounds the global norm of the gradient of the leaves that move."""

    learning_rate: float | AnySchedule = 1e-3
    weight_decay: float = 0.0
    decay_on: DecayOn = DecayOn.MATRICES
    clip: float = 0.0  # 0: none
    groups: tuple[Group, ...] = ()  # leaves with a rate or a decay of their own

    def __post_init__(self):
        if not (self.clip >= 0 and self.weight_decay >= 0):
            raise UserError(
                f"clip is {self.clip} and weight_decay {self.weight_decay}; give no negative numbers (0: none)"
            )
        if isinstance(self.learning_rate, int | float) and not self.learning_rate >= 0:
            raise UserError(f"learning_rate is {self.learning_rate}; give no negative number")

    @abc.abstractmethod
    def rule(self) -> optax.GradientTransformation:
        """The direction that a step of rate 1 goes against."""

    def build(self, updates: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `updates` updates."""
        whole = optax.chain(
            self.rule(),
            decayed(self.weight_decay, self.decay_on, self.groups),
            scaled(self.groups),
            scale_by_rate(self.learning_rate, updates),
        )
        whole = optax.chain(optax.clip_by_global_norm(self.clip), whole) if self.clip else whole
        return checked(whole, self.groups) if self.groups else whole


@dataclass(frozen=True)
class AdamW(Common):
    """AdamW: Adam (arXiv 1412.6980) with decoupled weight decay (arXiv 1711.05101)."""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        _check_adam(self.b1, self.b2, self.eps)

    def rule(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(self.b1, self.b2, self.eps)


@dataclass(frozen=True)
class SGD(Common):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013), Nesterov's if asked for.

    Averaged SGD (Polyak and Juditsky 1992) is this with `averages={"mean": UniformAverage(start=...)}`.
    """

    learning_rate: float | AnySchedule = 0.1
    momentum: float = 0.9  # 0: none, and no state
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        _check_share("momentum", self.momentum)

    def rule(self) -> optax.GradientTransformation:
        return optax.trace(self.momentum, self.nesterov) if self.momentum else optax.identity()


@dataclass(frozen=True)
class Lion(Common):
    """Lion: the sign of an interpolated momentum (arXiv 2302.06675).

    Its steps are as long as its rate in each leaf: give a rate 3 to 10 times below AdamW's, a decay as much above.
    """

    learning_rate: float | AnySchedule = 1e-4
    b1: float = 0.9
    b2: float = 0.99

    def __post_init__(self):
        super().__post_init__()
        _check_share("b1", self.b1)
        _check_share("b2", self.b2)

    def rule(self) -> optax.GradientTransformation:
        return optax.scale_by_lion(self.b1, self.b2)


@dataclass(frozen=True)
class Muon(Common):
    """Muon: momentum made orthogonal by Newton-Schulz iterations for matrices, AdamW for all other leaves.

    K. Jordan et al. 2024, kellerjordan.github.io/posts/muon; matrix updates have the root mean square `rms`, so that
    AdamW's rate and decay serve both (arXiv 2502.16982). Matrices are the kernels of two axes, each block's own in a
    stack. AdamW moves embeddings, biases, norms, convolutions, and the kernels that `adam_on` matches, by default the
    networks' last layers.
    """

    momentum: float = 0.95
    nesterov: bool = True
    iterations: int = 5
    rms: float = 0.2
    adam_on: str | None = HEADS  # a regular expression of paths; none: no matrix
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        _check_adam(self.b1, self.b2, self.eps)
        _check_share("momentum", self.momentum)
        if self.iterations < 1 or not self.rms > 0:
            raise UserError(f"iterations is {self.iterations} and rms {self.rms}; give at least 1, and above 0")
        if self.adam_on is not None:
            Matching(self.adam_on)  # UserError if it is no regular expression

    def orthogonal(self, path: str, leaf: Any) -> bool:
        """Whether Muon's own rule moves the leaf."""
        left_out = self.adam_on is not None and re.search(self.adam_on, path)
        return is_matrix(path, leaf) and rank(path, leaf) == 2 and not left_out

    def rule(self) -> optax.GradientTransformation:
        def dimensions(tree: Any) -> Any:  # the last two axes; a stack's is a batch of matrices
            return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(-2, -1), tree)

        momentum = contrib.scale_by_muon(
            ns_steps=self.iterations,
            beta=self.momentum,
            nesterov=self.nesterov,
            weight_dimension_numbers=dimensions,
        )
        orthogonal = optax.chain(momentum, optax.stateless(self._of_one_size))
        others = optax.scale_by_adam(self.b1, self.b2, self.eps)
        labels = each(lambda path, leaf: "muon" if self.orthogonal(path, leaf) else "adam")
        return optax.partition({"muon": orthogonal, "adam": others}, labels)

    def _of_one_size(self, updates: Any, params: Any) -> Any:
        """Orthogonal matrices [.., m, n] as updates of root mean square `rms`: theirs is 1 / sqrt(max(m, n))."""
        return jax.tree.map(lambda update: self.rms * math.sqrt(max(update.shape[-2:])) * update, updates)


@dataclass(frozen=True)
class Adafactor(Common):
    """Adafactor: second moments of a matrix from those of its rows and columns, in little memory (arXiv 1804.04235).

    With `relative` a step is measured in the parameter's own root mean square: rates are far above AdamW's.
    """

    learning_rate: float | AnySchedule = 1e-2
    relative: bool = True
    momentum: float = 0.0  # 0: none, and no memory for it
    decay_rate: float = 0.8  # the second moment's decay in update t is 1 - t^-decay_rate
    clip_rms: float = 1.0  # of each leaf's update
    factored_from: int = 128  # the shortest of the two axes that rows and columns are kept of

    def __post_init__(self):
        super().__post_init__()
        _check_share("momentum", self.momentum)
        if not (0 < self.decay_rate <= 1 and self.clip_rms >= 1 and self.factored_from >= 1):
            raise UserError(
                f"decay_rate is {self.decay_rate}, clip_rms {self.clip_rms}, factored_from {self.factored_from}; give "
                "a decay_rate above 0 and up to 1, and the others at least 1"
            )

    def rule(self) -> optax.GradientTransformation:
        parts = [
            optax.scale_by_factored_rms(decay_rate=self.decay_rate, min_dim_size_to_factor=self.factored_from),
            optax.clip_by_block_rms(self.clip_rms),
        ]
        if self.relative:
            parts.append(optax.scale_by_param_block_rms())
        if self.momentum:
            parts.append(optax.ema(self.momentum, debias=False))
        return block_by_block(optax.chain(*parts))


SHIPPED = AdamW, SGD, Lion, Muon, Adafactor
AnyOptimiser = AdamW | SGD | Lion | Muon | Adafactor | Optimiser


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{name} is {value}; give a number from 0 up to, not including, 1")


def surely_finite(optimiser: Optimiser) -> bool:
    """Whether a finite gradient norm is enough for all that the optimiser writes to be finite.

    Adam's moments are then finite, and their ratio is bounded, since eps is what divides where the second one has
    underflowed; SGD and Lion only sum. All else is judged by what it has written, which costs a pass over the state
    (a fifth of a small VAE's step on a CPU).
    """
    if type(optimiser) not in (AdamW, SGD, Lion) or optimiser.groups:
        return False
    if isinstance(optimiser, AdamW) and optimiser.eps < 1e-20:
        return False
    return optimiser.weight_decay <= 1e3 and bounded(optimiser.learning_rate)


def _check_adam(b1: float, b2: float, eps: float) -> None:
    if not (0 <= b1 < 1 and 0 <= b2 < 1):
        raise UserError(f"b1 is {b1} and b2 {b2}; Adam's moments need values from 0 up to, not including, 1")
    if not eps > 0:
        raise UserError(f"eps is {eps}; give a number above 0")
