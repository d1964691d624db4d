"""How pictures are drawn from a diffusion model: a method, its noise levels, and guidance, as fields of the task.

    jaxgen sample --workdir RUN --set task.sampler=DPMSolver2M task.sampler.steps=20 --out samples.png
"""
# SPDX-License-Identifier: Apache-2.0

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen.core.part import Part, Run
from jaxgen.errors import UserError
from jaxgen.families.diffusion.process import Process
from jaxgen.families.diffusion.samplers import Table, churn, consistency, ddim, dpm_solver_2m, euler, heun
from jaxgen.ops.noise import schedule

_MOST_STEPS = 10_000
_MOST_GUIDANCE = 1000  # far beyond what is of use; products of much larger ones overflow and draw nothing


class Spacing(enum.Enum):
    """Where the noise levels between sigma_max and sigma_min lie."""

    ROOT = "root"  # even in σ^(1/7), denser where it is small (eq. 5, arXiv 2206.00364)
    LOG = "log"  # even in ln σ, the log of the signal-to-noise ratio (arXiv 2206.00927)
    TIME = "time"  # even in the process's own t, as DDPM and flow matching have them


@runtime_checkable
class PictureSampler(Protocol):
    """Any frozen dataclass with these is a sampler.

    Where `guidance` is not none, the knobs have it too, and guidance_from and guidance_to; by what it guides, unless it
    is the absence of what is given, is `weaker`. `start_noise`: sampling that begins from pictures begins at this noise
    level; none: at the largest.
    """

    guidance: float | None
    weaker: Run | Part | None
    start_noise: float | None

    def knobs(self) -> dict[str, float]:
        """The numbers that are arguments of the program."""

    def sigmas(self, process: Process, low: float, high: float) -> jax.Array:
        """[N] noise levels from `high` down to `low`."""

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        """The method's coefficients."""


@dataclass(frozen=True)
class _Guided:
    """What all have in common: `steps` noise levels, and guidance.

    Under `guidance` w, D = D_any + w (D_given - D_any) (arXiv 2207.12598) where guidance_from <= σ < guidance_to, and
    D_given elsewhere (arXiv 2404.07724), at twice the cost; none is D_given alone. With `weaker`, a smaller or less
    trained run on the same pictures, its D under what is given stands in the place of D_any (arXiv 2406.02507).
    """

    steps: int = 16
    guidance: float | None = None
    guidance_from: float = 0.0
    guidance_to: float = math.inf
    spacing: Spacing = Spacing.ROOT
    weaker: Run | Part | None = None
    start_noise: float | None = None  # that pictures get which sampling begins from; none: sigma_max

    def __post_init__(self):
        if not 2 <= self.steps <= _MOST_STEPS:
            raise UserError(f"sampler.steps is {self.steps}; give at least 2, and no more than {_MOST_STEPS:,}")
        if self.guidance is not None and not 0 <= self.guidance <= _MOST_GUIDANCE:
            raise UserError(f"sampler.guidance is {self.guidance}; give 0 or more, up to {_MOST_GUIDANCE}, or none")
        if not 0 <= self.guidance_from < self.guidance_to:
            raise UserError(
                f"sampler.guidance_from is {self.guidance_from} and guidance_to {self.guidance_to}; give noise levels "
                "of 0 or more, the smaller first"
            )
        check_start_noise(self.start_noise)
        if self.guidance is None and (self.guidance_from > 0 or self.guidance_to < math.inf):
            raise UserError("sampler.guidance_from and guidance_to limit guidance, and there is none; set guidance too")
        if self.guidance is None and self.weaker is not None:
            raise UserError("sampler.weaker is what guidance is by, and there is none; set guidance too")

    def knobs(self) -> dict[str, float]:
        if self.guidance is None:
            return {}
        between = {"guidance_from": self.guidance_from, "guidance_to": self.guidance_to}
        return {"guidance": self.guidance} | between

    def sigmas(self, process: Process, low: float, high: float) -> jax.Array:
        """[N] noise levels from `high` down to `low`."""
        if self.spacing is Spacing.ROOT:
            return schedule(self.steps, low, high)
        first, last = jnp.float32(high), jnp.float32(low)
        if self.spacing is Spacing.LOG:
            sigmas = jnp.exp(jnp.linspace(jnp.log(first), jnp.log(last), self.steps))
        else:
            sigmas = process.sigma(jnp.linspace(process.time(first), process.time(last), self.steps))
        return sigmas.at[0].set(first).at[-1].set(last)


@dataclass(frozen=True)
class Euler(_Guided):
    """Euler's method along the probability flow: `steps` evaluations of D."""

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return euler(sigmas)


@dataclass(frozen=True)
class Heun(_Guided):
    """Heun's method along the flow (algorithm 1, arXiv 2206.00364): 2 * `steps` - 1 evaluations of D."""

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return heun(sigmas)


@dataclass(frozen=True)
class DPMSolver2M(_Guided):
    """DPM-Solver++(2M) (arXiv 2211.01095): of order 2 with `steps` evaluations of D."""

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return dpm_solver_2m(sigmas)


@dataclass(frozen=True)
class DDIM(_Guided):
    """DDIM (arXiv 2010.02502): from the flow at `eta` 0 to ancestral sampling at 1; `steps` evaluations of D."""

    eta: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise UserError(f"sampler.eta is {self.eta}; give a number from 0 (no noise is drawn) to 1 (ancestral)")

    def knobs(self) -> dict[str, float]:
        return super().knobs() | {"eta": self.eta}

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return ddim(sigmas, knobs["eta"])


@dataclass(frozen=True)
class Ancestral(_Guided):
    """DDPM's sampling (arXiv 2006.11239): each step draws from the posterior of the next state, given D."""

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return ddim(sigmas, 1.0)


@dataclass(frozen=True)
class Churn(_Guided):
    """EDM's stochastic sampler (algorithm 2, arXiv 2206.00364): 2 * `steps` - 1 evaluations of D.

    Where churn_from <= σ <= churn_to each step first raises σ by the factor 1 + min(`churn` / `steps`, √2 - 1), with
    noise of standard deviation `churn_noise`: S_churn, S_tmin, S_tmax and S_noise of the paper.
    """

    churn: float = 8.0
    churn_from: float = 0.05
    churn_to: float = math.inf
    churn_noise: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if not (0 <= self.churn < math.inf and 0 <= self.churn_noise < math.inf):
            raise UserError(
                f"sampler.churn is {self.churn} and churn_noise {self.churn_noise}; give numbers of 0 or more"
            )
        if not 0 <= self.churn_from < self.churn_to:
            raise UserError(
                f"sampler.churn_from is {self.churn_from} and churn_to {self.churn_to}; give noise levels of 0 or "
                "more, the smaller first"
            )

    def knobs(self) -> dict[str, float]:
        names = ("churn", "churn_from", "churn_to", "churn_noise")
        return super().knobs() | {name: getattr(self, name) for name in names}

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return churn(sigmas, knobs["churn"], knobs["churn_from"], knobs["churn_to"], knobs["churn_noise"])


@dataclass(frozen=True)
class Consistency:
    """Multistep consistency sampling (algorithm 1, arXiv 2303.01469): each of `steps` evaluations makes whole pictures.

    Before each but the first they get noise again. The noise levels go from sigma_max to `lowest`, evenly in ln σ; one
    step is at sigma_max alone. It draws from a consistency model, not from a denoiser.
    """

    steps: int = 2
    lowest: float = 1.0
    start_noise: float | None = None
    guidance = weaker = None

    def __post_init__(self):
        if not 1 <= self.steps <= _MOST_STEPS:
            raise UserError(f"sampler.steps is {self.steps}; give at least 1 (1 to 4 are of use)")
        if not 0 < self.lowest < math.inf:
            raise UserError(f"sampler.lowest is {self.lowest}; give a noise level above 0 and below task.sigma_max")
        check_start_noise(self.start_noise)

    def knobs(self) -> dict[str, float]:
        return {}

    def sigmas(self, process: Process, low: float, high: float) -> jax.Array:
        """[steps] noise levels."""
        share = jnp.arange(self.steps, dtype=jnp.float32) / max(self.steps - 1, 1)
        return high * (min(self.lowest, high) / high) ** share

    def table(self, sigmas: jax.Array, knobs: Mapping[str, Any]) -> Table:
        return consistency(sigmas)


def check_start_noise(level: float | None) -> None:
    if level is not None and not 0 < level < math.inf:
        raise UserError(f"sampler.start_noise is {level}; give a noise level above 0, or none")


def check_levels(sampler: PictureSampler, sigma_min: float) -> None:
    """UserError where a sampler asks for noise levels below those that the task knows."""
    if (noise := sampler.start_noise) is not None and noise <= sigma_min:
        raise UserError(f"task.sampler.start_noise is {noise}; give more than task.sigma_min, {sigma_min}")
    if isinstance(sampler, Consistency) and sampler.lowest < sigma_min:
        raise UserError(f"task.sampler.lowest is {sampler.lowest}; give at least the task's sigma_min, {sigma_min}")


AnySampler = Heun | Euler | DDIM | DPMSolver2M | Ancestral | Churn | PictureSampler
