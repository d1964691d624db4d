"""Pictures in one to four evaluations: a consistency model, tuned or distilled from a trained diffusion model.

A consistency model f(x, σ) takes every point of a path of the probability flow to the path's clean end (arXiv
2303.01469). Here f is the denoiser's own network and preconditioning, whose c_skip(0) = 1 and c_out(0) = 0 give the
boundary f(x, 0) = x, and training goes on from D, which takes each point to the mean of the ends that are possible
(easy consistency tuning, arXiv 2406.14548):

    L = λ(t) ( √(|f(x_t, t) − sg f(x_r, r)|² / dims + c²) − c ),   r = t (1 − n(t) / q^(stage + 1)), at least 0      (1)
    n(t) = 1 + 8 / (1 + e^t)                                                                                         (2)

with sg for what no gradient flows into, and f(x_r, r) the clean picture itself where r is below σ_min. In stage 0 most
r are 0, and (1) is the denoiser's own loss with another norm; each stage brings r closer to t by the factor q. Without
a teacher x_t and x_r are one picture under one noise; with one, x_r lies a step of Heun's method from x_t along the
teacher's flow (consistency distillation, arXiv 2303.01469, algorithm 2).
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxgen.core.layout import Rule
from jaxgen.core.mean import Mean
from jaxgen.core.part import Part, Run
from jaxgen.core.task import Aux, Turn
from jaxgen.errors import UserError
from jaxgen.families.diffusion.denoiser import spread
from jaxgen.families.diffusion.picture_samplers import Consistency
from jaxgen.families.diffusion.samplers import Denoise
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.nn.conditions import condition_of, hidden_rows, with_drawn
from jaxgen.ops.levels import straight_through, to_unit
from jaxgen.ops.rows import normal, row_keys
from jaxgen.types import Batch, Extra, Key, Spec, Variables

_MOST_EXAMPLES = 2**30


@dataclass(frozen=True)
class ConsistencyModel:
    """The diffusion model `model`, trained on as a consistency model: start from its run, whose leaves all match.

    A stage lasts `stage` examples; after the last of `stages` r stays as close to t as it is. `teacher` is a diffusion
    run on the same data, drawn from as its own sampler guides it.
    """

    model: Diffusion = Diffusion()
    teacher: Run | Part | None = None
    factor: float = 2.0  # q
    stage: int = 40_000
    stages: int = 8
    huber: float = 0.00054  # c of eq. 1, in a picture's units (arXiv 2310.14189, section 3.3)
    sampler: Consistency = Consistency()
    spec: Spec | None = None  # from the data

    def __post_init__(self):
        if not 1 < self.factor < math.inf:
            raise UserError(f"factor is {self.factor}; give a number above 1")
        if self.stage < 1 or self.stages < 1 or self.stage * self.stages > _MOST_EXAMPLES:
            raise UserError(
                f"stage is {self.stage} and stages {self.stages}; give at least 1 of each, and no more than "
                f"{_MOST_EXAMPLES:,} examples in all"
            )
        if not 0 <= self.huber < math.inf:
            raise UserError(f"huber is {self.huber}; give 0 or more")

    def sized(self, spec: Spec) -> "ConsistencyModel":
        if isinstance(self.teacher, Part):
            _check_teacher(self.teacher, spec)
        return replace(self, model=replace(self.model, sampler=self.sampler).sized(spec), spec=spec)

    def init(self, key: Key) -> Variables:
        """The diffusion model's parameters; shared: the examples that were seen."""
        return self.model.init(key).replace(extra=Extra(shared={"examples": jnp.int32(0)}))

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return self.model.layout()

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("consistency", self.loss),)

    def absorb(self, shared: Mapping[str, jax.Array], statistics: jax.Array) -> dict[str, jax.Array]:
        return {"examples": jnp.minimum(shared["examples"] + statistics, _MOST_EXAMPLES)}

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """Eq. 1, a mean over [B] pictures."""
        error = self.errors(variables, batch, key)
        return Mean.of(error, batch.get("weight")), Aux(statistics=jnp.int32(len(error)))

    def errors(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] of eq. 1. No likelihood, and comparable within a stage alone."""
        model, row = self.model, batch["row"]
        sigma_key, noise_key, hiding, dropout_key = jax.random.split(key, 4)
        hidden = hidden_rows(model.condition_dropout, hiding, row)
        condition = condition_of(self.spec, batch, hidden)
        x0 = to_unit(batch["made"]["value"], model.levels)
        ε = normal(noise_key, row, x0.shape[1:])
        t = model.noise.sigmas(sigma_key, row, model.process, model.sigma_min, model.sigma_max)
        r = self.earlier(t, variables.extra.shared["examples"])
        r = jnp.where(r < model.sigma_min, 0.0, r)
        x_t = x0 + spread(t) * ε
        if self.teacher is None:
            x_r = x0 + spread(r) * ε
        else:
            x_r = heun_step(self._teacher(variables, batch, hidden), x_t, t, r)
        keys = row_keys(dropout_key, row) if model.network.dropout else None  # the same mask for both
        before = model.denoiser(variables.params, x_r, jnp.maximum(r, model.sigma_min), condition, keys)
        target = jax.lax.stop_gradient(jnp.where(spread(r) > 0, before, x_r))
        gap = jnp.mean((model.denoiser(variables.params, x_t, t, condition, keys) - target) ** 2, axis=(1, 2, 3))
        # the root's slope at 0 is infinite where c is 0
        huber = jnp.sqrt(jnp.maximum(gap + self.huber**2, 1e-20)) - self.huber
        return model.weighting(t, model.denoiser) * huber

    def earlier(self, t: jax.Array, examples: jax.Array) -> jax.Array:
        """[B] r of t after so many examples (eq. 1 and 2)."""
        stage = jnp.minimum(examples // self.stage, self.stages - 1)
        nearness = (1 + 8 * jax.nn.sigmoid(-t)) * self.factor ** -(stage + 1.0)
        return t * jnp.maximum(1 - nearness, 0.0)

    def _teacher(self, variables: Variables, batch: Batch, hidden: jax.Array | None) -> Denoise:
        task: Diffusion = self.teacher.task
        return task.guided(variables.parts[self.teacher.name], batch, hidden)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return {"consistency": Mean.of(self.errors(variables, batch, key), batch["weight"])}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """Eq. 1, at the stage that training has reached."""
        return {"consistency_loss": sums["consistency"].value}

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] by the sampler; what is not given is of any kind."""
        return self.model.sample(variables, request, key)

    def draw_noise(self, row: jax.Array, key: Key) -> tuple[jax.Array, ...]:
        return self.model.draw_noise(row, key)

    def decode(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> Batch:
        return self.model.decode(variables, request, noise)

    def states(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """As `sample`, with all points on the way [B, T, H, W, C]."""
        return self.model.states(variables, request, key)

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """The levels of `sample` under the same key, as floats [B, H, W, C]; rounding is left out of their gradient.

        A class that is not given is drawn evenly, unless `condition_dropout` has trained pictures of any class.
        """
        if not self.model.condition_dropout:
            request = with_drawn(self.spec, request, jax.random.fold_in(key, 1))
        levels = straight_through(self.model.pictures(variables, request, key), self.model.levels)
        return {"given": dict(request.get("given", {})), "made": {"value": levels}}


def heun_step(denoise: Denoise, x: jax.Array, t: jax.Array, r: jax.Array) -> jax.Array:
    """[B, H, W, C] at r [B] below t [B] along the flow from `x` at t; D itself, Euler's step, where r is 0."""
    clean, ratio, inside = denoise(x, t), spread(r / t), spread(r > 0)
    guess = clean + ratio * (x - clean)  # Euler's step
    below = jnp.where(r > 0, r, t)
    slope = ((x - clean) / spread(t) + (guess - denoise(guess, below)) / spread(below)) / 2
    return jnp.where(inside, x + spread(r - t) * slope, guess)


def _check_teacher(teacher: Part, spec: Spec) -> None:
    """UserError where the teacher is no diffusion model of the same data."""
    if not isinstance(teacher.task, Diffusion):
        raise UserError(
            f"{teacher.field} is a {type(teacher.task).__name__}, which has no probability flow to distil; name a "
            "diffusion run"
        )
    if (teacher.spec.made, teacher.spec.given) != (spec.made, spec.given):
        raise UserError(
            f"{teacher.field} makes {teacher.spec.made} and this data set has {spec.made}, or what is given differs; "
            "name a diffusion run on the same data"
        )
