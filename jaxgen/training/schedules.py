"""Learning-rate schedules: rates by the number of the update, counted from 1, as descriptions that build optax's.

With `warmup` w > 0 the rate rises in equal parts, so that update 1 has peak / w (not 0) and update w the peak. What
falls reaches `floor` * peak at the run's last update. A run that ends within its warm-up never falls.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from jaxgen.errors import UserError
from jaxgen.types import Params


@runtime_checkable
class Schedule(Protocol):
    """Any frozen dataclass with such a `build` is a learning rate."""

    def build(self, updates: int) -> optax.Schedule:
        """The rate of each update of a run of `updates`, as a function of the updates taken before it."""


@dataclass(frozen=True)
class Constant:
    """The peak from the warm-up's end on."""

    peak: float
    warmup: int = 0  # updates

    def __post_init__(self):
        _check(self.peak, self.warmup)

    def build(self, updates: int) -> optax.Schedule:
        return _warmed_up(self.peak, self.warmup, optax.constant_schedule(self.peak))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the peak down to the floor (arXiv 1608.03983, without restarts)."""

    peak: float
    warmup: int = 0  # updates
    floor: float = 0.0  # a share of the peak

    def __post_init__(self):
        _check(self.peak, self.warmup, self.floor)

    def build(self, updates: int) -> optax.Schedule:
        falling = _after_warmup(updates, self.warmup)
        cosine = optax.cosine_decay_schedule(self.peak, falling, self.floor)
        return _warmed_up(self.peak, self.warmup, _to_floor(self, falling, cosine))


@dataclass(frozen=True)
class Linear:
    """A straight line from the peak down to the floor."""

    peak: float
    warmup: int = 0  # updates
    floor: float = 0.0  # a share of the peak

    def __post_init__(self):
        _check(self.peak, self.warmup, self.floor)

    def build(self, updates: int) -> optax.Schedule:
        return _warmed_up(self.peak, self.warmup, _line(self, _after_warmup(updates, self.warmup)))


@dataclass(frozen=True)
class WarmupStableDecay:
    """The peak held, then a straight line down to the floor in the last `decay` of the run (arXiv 2404.06395).

    The line is that of arXiv 2405.18392. A run can be prolonged from a checkpoint of before the line's start.
    """

    peak: float
    warmup: int = 0  # updates
    decay: float = 0.2  # a share of the run's updates
    floor: float = 0.0  # a share of the peak

    def __post_init__(self):
        _check(self.peak, self.warmup, self.floor)
        if not 0 <= self.decay <= 1:
            raise UserError(f"decay is {self.decay}; give the share of the run, from 0 to 1, in which the rate falls")

    def build(self, updates: int) -> optax.Schedule:
        room = _after_warmup(updates, self.warmup)
        falling = min(round(self.decay * updates), room)
        if falling == 0:
            return _warmed_up(self.peak, self.warmup, optax.constant_schedule(self.peak))
        held = optax.join_schedules([optax.constant_schedule(self.peak), _line(self, falling)], [room - falling])
        return _warmed_up(self.peak, self.warmup, held)


@dataclass(frozen=True)
class InverseSquareRoot:
    """The peak times sqrt(warmup / update) after the warm-up (arXiv 1706.03762, section 5.3): it has no end to reach.
    """

    peak: float
    warmup: int = 1000  # updates

    def __post_init__(self):
        _check(self.peak, self.warmup)

    def build(self, updates: int) -> optax.Schedule:
        first = max(self.warmup, 1)
        return _warmed_up(self.peak, self.warmup, lambda since: self.peak * jnp.sqrt(first / (first + since)))


AnySchedule = Constant | Cosine | Linear | WarmupStableDecay | InverseSquareRoot | Schedule
SHIPPED = Constant, Cosine, Linear, WarmupStableDecay, InverseSquareRoot


def rate_of(rate: float | AnySchedule, updates: int) -> Any:
    """What optax takes as a learning rate: a number, or a function of the updates taken."""
    return rate.build(updates) if isinstance(rate, Schedule) else rate


def peak_of(rate: float | AnySchedule) -> float | None:
    """The number that all rates of a run are multiples of; None for a schedule of the user's own."""
    if isinstance(rate, int | float):
        return float(rate)
    return rate.peak if type(rate) in SHIPPED else None


def with_peak(rate: float | AnySchedule, peak: float) -> float | AnySchedule:
    """The same rates times so much that `peak_of` is `peak`."""
    return peak if isinstance(rate, int | float) else dataclasses.replace(rate, peak=peak)


class RateState(NamedTuple):
    """The state of `scale_by_rate`: the updates taken, and the peak."""

    count: jax.Array  # int32
    peak: jax.Array  # float32


def scale_by_rate(rate: float | AnySchedule, updates: int) -> optax.GradientTransformation:
    """`optax.scale_by_learning_rate` whose peak is a leaf of its state: runs that differ in it share one program."""
    peak = peak_of(rate)
    if peak is None:
        return optax.scale_by_learning_rate(rate_of(rate, updates))
    of_one = rate_of(with_peak(rate, 1.0), updates)

    def init(params: Params) -> RateState:
        return RateState(jnp.int32(0), jnp.float32(peak))

    def update(gradient: Params, state: RateState, params: Params | None = None) -> tuple[Params, RateState]:
        now = -state.peak * (of_one(state.count) if callable(of_one) else of_one)
        scaled = jax.tree.map(lambda leaf: now.astype(leaf.dtype) * leaf, gradient)
        return scaled, state._replace(count=optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def is_rate(part: Any) -> bool:
    return isinstance(part, RateState)


def peaks_in(opt_state: Any) -> list[jax.Array]:
    """The peaks of all rates in an optimiser's state, in the order of its tree."""
    return [part.peak for part in jax.tree.leaves(opt_state, is_leaf=is_rate) if is_rate(part)]


def with_peaks(opt_state: Any, peaks: Sequence[jax.Array]) -> Any:
    """The state with these peaks, as `peaks_in` lists them."""
    left = iter(peaks)
    return jax.tree.map(
        lambda part: part._replace(peak=next(left)) if is_rate(part) else part, opt_state, is_leaf=is_rate
    )


def _check(peak: float, warmup: int, floor: float = 0.0) -> None:
    if not (peak > 0 and warmup >= 0 and 0 <= floor <= 1):
        raise UserError(
            f"peak is {peak}, warmup {warmup}, floor {floor}; give a peak above 0, a warmup of 0 or more updates, and "
            "a floor from 0 to 1 of the peak"
        )


def _after_warmup(updates: int, warmup: int) -> int:
    """The updates after the one that has the peak, which is the first where there is no warm-up; at least 1."""
    return max(updates - max(warmup, 1), 1)


def _line(of: Linear | WarmupStableDecay, updates: int) -> optax.Schedule:
    return _to_floor(of, updates, optax.linear_schedule(of.peak, of.floor * of.peak, updates))


def _to_floor(of: Cosine | Linear | WarmupStableDecay, updates: int, falling: optax.Schedule) -> optax.Schedule:
    """`falling` with the floor itself, not rounded, at its end."""
    return optax.join_schedules([falling, optax.constant_schedule(of.floor * of.peak)], [updates])


def _warmed_up(peak: float, warmup: int, after: optax.Schedule) -> optax.Schedule:
    """peak / warmup, 2 peak / warmup ... then `after` of the updates since the one that has the peak."""
    if warmup <= 1:
        return after
    return optax.join_schedules([lambda taken: peak * (taken + 1) / warmup, after], [warmup - 1])


def bounded(rate: float | AnySchedule) -> bool:
    """Whether the rate is known to stay a number of the usual size: a given one, or a shipped schedule of such."""
    if isinstance(rate, int | float):
        return rate <= 1e3
    if type(rate) not in SHIPPED:
        return False
    return all(number <= 1e9 for number in vars(rate).values() if isinstance(number, int | float))
