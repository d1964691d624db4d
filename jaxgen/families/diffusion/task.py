"""Diffusion as a task: denoising at every noise level, a bound on the likelihood, samples, and episodes to tune by."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.layout import COLUMN, ROW, WHOLE, Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Trajectory, Turn
from jaxgen.errors import UserError
from jaxgen.families.diffusion.bound import negative_bound
from jaxgen.families.diffusion.denoiser import Denoiser, Prediction
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.samplers import Denoise, ancestral, ancestral_log_prob, heun
from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.noise import draw_sigmas, loss_weight, schedule
from jaxgen.ops.rows import normal, row_keys, uniform
from jaxgen.types import Batch, Extra, Key, Params, Spec, Variables


@dataclass(frozen=True)
class Diffusion:
    """EDM (arXiv 2206.00364) on pictures in [-1, 1], conditional where labels are.

    `p_mean` and `p_std` say at which noise levels it trains. Samples take 2 * `steps` - 1 evaluations, an episode
    `actions`; both under `guidance` w, D = D_any + w (D_class - D_any) (arXiv 2207.12598), which at 1 is the class's
    own D and costs nothing. The likelihood knows no guidance.
    """

    network: DiffusionTransformer = DiffusionTransformer()
    prediction: Prediction = Prediction.PICTURE
    sigma_data: float = 0.8  # of the pictures around 0
    sigma_min: float = 0.03
    sigma_max: float = 20.0
    p_mean: float = -0.4
    p_std: float = 1.2
    condition_dropout: float = 0.1  # share of the rows whose label is hidden in training
    guidance: float = 1.0
    steps: int = 16
    actions: int = 14
    last_noise: float = 0.02  # standard deviation of the last action
    bound_draws: int = 16  # noise levels a picture
    spec: Spec | None = None  # from the data
    bound = "variational lower bound in continuous time (arXiv 2107.00630), in expectation over its noise"

    def __post_init__(self):
        if not (0 < self.sigma_min < self.sigma_max and self.sigma_data > 0 and self.p_std >= 0):
            raise UserError(
                f"sigma_min is {self.sigma_min}, sigma_max {self.sigma_max}, sigma_data {self.sigma_data}, p_std "
                f"{self.p_std}; give sigmas above 0, the largest above the smallest, and no negative p_std"
            )
        if not 0 <= self.condition_dropout < 1:
            raise UserError(
                f"condition_dropout is {self.condition_dropout}; give a share from 0 up to, not including, 1"
            )
        if self.guidance < 0 or self.last_noise <= 0:
            raise UserError(
                f"guidance is {self.guidance} and last_noise {self.last_noise}; give a guidance of 0 or more, and "
                "last_noise above 0, or the last action has no density"
            )
        if min(self.steps, self.actions) < 2 or self.bound_draws < 1:
            raise UserError(
                f"steps is {self.steps}, actions {self.actions}, bound_draws {self.bound_draws}; give at least 2 "
                "steps and actions, and 1 draw"
            )

    def sized(self, spec: Spec) -> "Diffusion":
        if spec.image is None:
            raise UserError("a Diffusion makes pictures and this data set has none; choose data with pictures")
        self.network.check(spec.image)
        outputs = spec.levels if self.prediction is Prediction.LEVELS else 1
        network = self.network.clone(image=spec.image, classes=spec.classes, outputs=outputs)
        return replace(self, network=network, spec=spec)

    def init(self, key: Key) -> Variables:
        label = jnp.zeros(1, jnp.int32) if self.spec.classes else None
        variables = self.network.init(key, jnp.zeros((1, *self.spec.image)), jnp.zeros(1), label)
        return Variables(variables["params"], Extra())

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return (
            Rule(r"(attention|mlp)/out/kernel$|embedding$|position$", ROW),
            Rule(r"kernel$", COLUMN),
            Rule(r"(query_key_value|mlp/in)/bias$", ("tensor",)),
            Rule(r"(bias|scale)$", WHOLE),
        )

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("denoising", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    @property
    def denoiser(self) -> Denoiser:
        return Denoiser(self.network, self.prediction, self.sigma_data, self.spec.levels)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over [B] pictures of λ(σ) |x - D(x + σ ε, σ)|², a mean over dimensions (eq. 8, arXiv 2206.00364).

        It is no likelihood: `log_prob` weighs the same errors by 1/σ² at levels spread evenly over ln σ.
        """
        level_key, noise_key, label_key, dropout_key = jax.random.split(key, 4)
        row, label = batch["row"], self._label(batch)
        if label is not None:
            label = jnp.where(self.hidden(label_key, row), self.spec.classes, label)
        x = to_unit(batch["image"], self.spec.levels)
        σ = draw_sigmas(level_key, row, self.p_mean, self.p_std)
        noisy = x + σ[:, None, None, None] * normal(noise_key, row, self.spec.image)
        keys = row_keys(dropout_key, row) if self.network.dropout else None
        error = jnp.mean((x - self.denoiser(variables.params, noisy, σ, label, keys)) ** 2, axis=(1, 2, 3))  # [B]
        return Mean.of(loss_weight(σ, self.sigma_data) * error, batch.get("weight")), Aux()

    def hidden(self, key: Key, row: jax.Array) -> jax.Array:
        """[B] bools: the rows whose label training hides."""
        return uniform(key, row, ()) < self.condition_dropout

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: one Monte Carlo draw of the bound of each picture under its label."""
        params, label = variables.params, self._label(batch)

        def denoise(x: jax.Array, σ: jax.Array) -> jax.Array:
            each = None if label is None else jnp.repeat(label, self.bound_draws)
            return self.denoiser(params, x, σ, each)

        return -negative_bound(
            denoise,
            lambda x, σ: self.denoiser.level_log_prob(params, x, σ, label),
            to_unit(batch["image"], self.spec.levels),
            batch["image"],
            self.sigma_min,
            self.sigma_max,
            self.bound_draws,
            key,
            batch["row"],
        )

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return {"nats": Mean.of(-self.log_prob(variables, batch, key), batch["weight"])}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """The bound, an upper one on the true figure, in bits for each of a picture's dimensions."""
        return {"bits_per_dim": sums["nats"].value / math.prod(self.spec.image) / math.log(2)}

    def sample(self, variables: Variables, count: int, given: Batch, key: Key) -> Batch:
        """`count` pictures of the labels given, or of every class in turn, by Heun's method."""
        row, known = jnp.arange(count), {}
        if self.spec.classes:
            known["label"] = jnp.asarray(given.get("label", row % self.spec.classes), jnp.int32)
        start = self.sigma_max * normal(key, row, self.spec.image)
        sigmas = schedule(self.steps, self.sigma_min, self.sigma_max)
        x = heun(self.guided(variables.params, known.get("label")), start, sigmas)
        return {"image": to_levels(x, self.spec.levels), **known}

    def guided(self, params: Params, label: jax.Array | None) -> Denoise:
        """D under the labels [B] and the guidance."""

        def denoise(x: jax.Array, σ: jax.Array) -> jax.Array:
            known = self.denoiser(params, x, σ, label)
            if label is None or self.guidance == 1:
                return known
            unknown = self.denoiser(params, x, σ, jnp.full_like(label, self.spec.classes))
            return unknown + self.guidance * (known - unknown)

        return denoise

    def rollout(self, variables: Variables, given: Batch, key: Key) -> Trajectory:
        """Ancestral episodes; rounding to levels comes after the last action, outside of the policy."""
        start_key, action_key = jax.random.split(key)
        row = given["row"]
        start = self.sigma_max * normal(start_key, row, self.spec.image)
        denoise = self.guided(variables.params, self._label(given))
        states, log_prob = ancestral(denoise, start, self._sigmas, self.last_noise, action_key, row)
        example = {"image": to_levels(states[:, -1], self.spec.levels)}
        return Trajectory(given, states, log_prob, example)

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, T] nats of an episode's actions, under the sampler and guidance that drew them."""
        denoise = self.guided(variables.params, self._label(trajectory.given))
        return ancestral_log_prob(denoise, trajectory.actions, self._sigmas, self.last_noise)

    @property
    def _sigmas(self) -> jax.Array:
        """[T] noise levels of the states that a action starts from."""
        return schedule(self.actions, self.sigma_min, self.sigma_max)

    def _label(self, batch: Batch) -> jax.Array | None:
        """[B] labels, `classes` ("of any class") where none are given; None where the data have no classes."""
        if not self.spec.classes:
            return None
        return batch["label"] if "label" in batch else jnp.full(len(batch["row"]), self.spec.classes, jnp.int32)
