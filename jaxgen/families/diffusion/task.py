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
from jaxgen.core.part import Part
from jaxgen.core.restoration import Damaged, Restoration
from jaxgen.core.task import Aux, Trajectory, Turn, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.diffusion.bound import negative_bound
from jaxgen.families.diffusion.denoiser import Denoiser
from jaxgen.families.diffusion.flow_likelihood import FlowLikelihood
from jaxgen.families.diffusion.guidance import check_guidance, guided
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import AnySampler, Heun, check_levels
from jaxgen.families.diffusion.process import Prediction, Process, VarianceExploding
from jaxgen.families.diffusion.restoration.restoring import Prior, restoration_of
from jaxgen.families.diffusion.samplers import (
    Denoise,
    ancestral,
    ancestral_log_prob,
    ascending,
    follow,
    followed,
    holding,
)
from jaxgen.families.diffusion.training_noise import EDMWeight, LogNormal, PredictionWeight, TrainingNoise, Weighting
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.conditions import (
    check_any_kind,
    check_conditions,
    check_fraction,
    check_given,
    condition_of,
    gives_sentence,
    hidden_rows,
)
from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal, repeated, row_keys
from jaxgen.types import Batch, Extra, Image, Key, Params, Spec, Variables

_INFER_STEPS = 64  # noise levels from a picture to its noise
_NO_ROW = 0xFFFFFFFF  # a key folded with it is that of no row


@dataclass(frozen=True)
class Diffusion:
    """Denoising of pictures in [-1, 1], under what is given: EDM (arXiv 2206.00364) unless said otherwise.

    `process` and `prediction` say what the network reads and predicts (process.py), `noise` and `weighting` at which
    noise levels it trains and what an error there weighs. Sampler and likelihood know D(x, σ) alone. An episode takes
    `actions` evaluations, under the sampler's guidance. The likelihood knows no guidance.
    """

    network: DiffusionTransformer | UNet = DiffusionTransformer()
    prediction: Prediction = Prediction.PICTURE
    process: Process = VarianceExploding()
    noise: TrainingNoise = LogNormal()
    weighting: Weighting = EDMWeight()
    sigma_data: float = 0.8  # of the pictures around 0
    sigma_min: float = 0.03
    sigma_max: float = 20.0
    condition_dropout: float = 0.1  # fraction of the rows whose given is hidden in training
    sampler: AnySampler = Heun()
    actions: int = 14
    last_noise: float = 0.02  # standard deviation of the last action
    bound_draws: int = 16  # noise levels a picture
    likelihood: FlowLikelihood | None = None  # in `evaluate`, beside the variational bound
    spec: Spec | None = None  # from the data
    bound = "variational lower bound in continuous time (arXiv 2107.00630), in expectation over its noise"

    def __post_init__(self):
        if not (0 < self.sigma_min < self.sigma_max < math.inf and self.sigma_data > 0):
            raise UserError(
                f"sigma_min is {self.sigma_min}, sigma_max {self.sigma_max} and sigma_data {self.sigma_data}; give "
                "numbers above 0, the largest above the smallest"
            )
        if self.prediction is Prediction.LEVELS and isinstance(self.weighting, PredictionWeight):
            raise UserError(
                "weighting is PredictionWeight and prediction is LEVELS, which has no squared error; give EDMWeight "
                "or MinSNR, or another prediction"
            )
        check_fraction(self.condition_dropout)
        if self.last_noise <= 0:
            raise UserError(f"last_noise is {self.last_noise}; give more than 0, or the last action has no density")
        if self.actions < 2 or self.bound_draws < 1:
            raise UserError(
                f"actions is {self.actions} and bound_draws {self.bound_draws}; give at least 2 actions and 1 draw"
            )

    def sized(self, spec: Spec) -> "Diffusion":
        if not isinstance(spec.made, Image):
            raise UserError("a Diffusion makes pictures and this data set has none; choose data with pictures")
        check_conditions(spec, "Diffusion", prompts=True)
        check_levels(self.sampler, self.sigma_min)
        check_guidance(self.sampler, spec, self.condition_dropout, Diffusion)
        self.network.check(spec.made.shape)
        outputs = spec.made.levels if self.prediction is Prediction.LEVELS else 1
        return replace(self, network=self.network.clone(image=spec.made.shape, outputs=outputs), spec=spec)

    def init(self, key: Key) -> Variables:
        condition = condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)})
        variables = self.network.init(
            key, jnp.zeros((1, *self.spec.made.shape), jnp.float32), jnp.zeros(1, jnp.float32), condition
        )
        return Variables(variables["params"], Extra())

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return (
            Rule(r"(attention|mlp)/out/kernel$|embedding$|position$", ROW),
            Rule(r"kernel$", COLUMN),
            Rule(r"(query|key_value|mlp/in)/bias$", ("tensor",)),
            Rule(r"(bias|scale|text/first)$", WHOLE),
        )

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("denoising", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    @property
    def levels(self) -> int:
        return self.spec.made.levels

    @property
    def denoiser(self) -> Denoiser:
        return Denoiser(self.network, self.prediction, self.process, self.sigma_data, self.levels)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over [B] pictures of λ(σ) |x - D(x + σ ε, σ)|², a mean over dimensions (eq. 8, arXiv 2206.00364).

        It is no likelihood: `log_prob` weighs the same errors by 1/σ² at levels spread evenly over ln σ.
        """
        sigma_key, noise_key, hiding, dropout_key = jax.random.split(key, 4)
        row = batch["row"]
        condition = condition_of(self.spec, batch, hidden_rows(self.condition_dropout, hiding, row))
        x = to_unit(batch["made"]["value"], self.levels)
        σ = self.noise.sigmas(sigma_key, row, self.process, self.sigma_min, self.sigma_max)
        noisy = x + σ[:, None, None, None] * normal(noise_key, row, x.shape[1:])
        keys = row_keys(dropout_key, row) if self.network.dropout else None
        error = jnp.mean((x - self.denoiser(variables.params, noisy, σ, condition, keys)) ** 2, axis=(1, 2, 3))  # [B]
        return Mean.of(self.weighting(σ, self.denoiser) * error, batch.get("weight")), Aux()

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: one Monte Carlo draw of the bound of each picture under what is given."""
        params, condition, value = variables.params, condition_of(self.spec, batch), batch["made"]["value"]

        def denoise(x: jax.Array, σ: jax.Array) -> jax.Array:
            return self.denoiser(params, x, σ, repeated(condition, self.bound_draws))

        return -negative_bound(
            denoise,
            lambda x, σ: self.denoiser.level_log_prob(params, x, σ, condition),
            to_unit(value, self.levels),
            value,
            self.sigma_min,
            self.sigma_max,
            self.bound_draws,
            key,
            batch["row"],
        )

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        sums = {"nats": Mean.of(-self.log_prob(variables, batch, key), batch["weight"])}
        if self.likelihood is not None:
            sums |= self._flow_sums(variables.params, batch, jax.random.fold_in(key, 1))
        return sums, None

    def _flow_sums(self, params: Params, batch: Batch, key: Key) -> dict[str, Mean]:
        condition, value = condition_of(self.spec, batch), batch["made"]["value"]
        return self.likelihood.sums(
            lambda x, σ: self.denoiser(params, x, σ, condition),
            lambda x, σ: self.denoiser.level_log_prob(params, x, σ, condition),
            to_unit(value, self.levels),
            value,
            (self.sigma_min, self.sigma_max),
            key,
            batch["row"],
            batch["weight"],
        )

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """The bound, an upper one on the true figure, in bits for each of a picture's dimensions."""
        dims = math.prod(self.spec.made.shape)
        figures = {"bits_per_dim": sums["nats"].value / dims / math.log(2)}
        return figures if self.likelihood is None else figures | self.likelihood.figures(sums, dims)

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] by the sampler; what is not given is of any kind.

        request["made"] begins from pictures: what of them is "known" is kept (the replacement method, arXiv 2011.13456,
        section 5), without a mask nothing is (SDEdit, arXiv 2108.01073). The sampler's `start_noise` is what they get.
        """
        return self._shown(request, self.pictures(variables, request, key))

    def pictures(self, variables: Variables, request: Batch, key: Key) -> jax.Array:
        """[B, H, W, C] in about [-1, 1]: those of `sample` before they are rounded to levels."""
        return self._followed(variables, request, self.draw_noise(request["row"], key), key)[0]

    def _shown(self, request: Batch, x: jax.Array) -> Batch:
        return {"given": dict(request.get("given", {})), "made": {"value": to_levels(x, self.levels)}}

    def draw_noise(self, row: jax.Array, key: Key) -> tuple[jax.Array, ...]:
        """What sampling starts from, one array of a picture's shape."""
        return (normal(key, row, self.spec.made.shape),)

    def decode(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> Batch:
        request = {name: part for name, part in request.items() if name != "made"}  # it begins from noise alone
        return self._shown(request, self._followed(variables, request, noise, jax.random.key(0))[0])

    def infer(self, variables: Variables, batch: Batch, key: Key) -> tuple[jax.Array, ...]:
        """Where the probability flow, under what is given and the guidance, leads from the picture to sigma_max.

        The picture gets noise of sigma_min by `key`, as the flow's smallest.
        """
        clean = to_unit(batch["made"]["value"], self.levels)
        x = clean + self.sigma_min * normal(key, batch["row"], clean.shape[1:])
        table = ascending(schedule(_INFER_STEPS, self.sigma_min, self.sigma_max)[::-1])
        ends = follow(self.guided(variables, batch), x, table, key, batch["row"])
        return (ends / self.sigma_max,)

    def states(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """As `sample`, but all points on the way to each picture [B, T, H, W, C], the picture last.

        Each is scaled to the variance of a picture: x / √(1 + σ²).
        """
        x, points, sigmas = self._followed(variables, request, self.draw_noise(request["row"], key), key)
        scaled = points * jax.lax.rsqrt(1 + sigmas**2)[:, None, None, None, None]
        return self._shown(request, jnp.moveaxis(jnp.concatenate([scaled, x[None]]), 0, 1))

    def _followed(
        self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...], key: Key
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The pictures, the points [T, B, H, W, C] at which D is evaluated on the way to them, and their noise [T]."""
        row, begun, denoise = request["row"], request.get("made"), self.guided(variables, request)
        high, start = self.sigma_max, jnp.float32(0.0)
        if begun is not None:
            check_given(self.spec, request, self.condition_dropout)
            start = to_unit(begun["value"], self.levels)
            if "known" in begun:  # what is filled in begins as noise alone, whatever start_noise is
                denoise, start = holding(denoise, start, begun["known"])
            elif self.sampler.start_noise is None:
                raise UserError(
                    "pictures that samples begin from are changed whole, as they have no transparent pixels; set "
                    "task.sampler.start_noise, from about 0.3 (little is changed) to 3"
                )
            else:
                high = min(self.sampler.start_noise, high)
        start = start + high * noise[0]
        sigmas = self.sampler.sigmas(self.process, self.sigma_min, high)
        table = self.sampler.table(sigmas, knobs_of(self.sampler, request))
        return *followed(denoise, start, table, jax.random.fold_in(key, _NO_ROW), row), table.sigma

    def guided(self, variables: Variables, request: Batch, hidden: jax.Array | None = None) -> Denoise:
        """D under what is given, and under the guidance at the noise levels where there is any.

        `hidden` [B] rows see nothing of what is given.
        """
        known, knobs = self._denoise(variables.params, request, hidden), knobs_of(self.sampler, request)
        if "guidance" not in knobs:
            return known
        weaker: Part | None = self.sampler.weaker
        if weaker is None:
            other = self._denoise(variables.params, {"row": request["row"]}, None)
        else:
            other = weaker.task._denoise(variables.parts[weaker.name].params, request, hidden)
        return guided(known, other, knobs)

    def restoration(self, damaged: Damaged) -> Restoration:
        """The model as a prior over pictures of any kind."""
        check_any_kind(self.spec, self.condition_dropout)
        levels = self.sigma_min, self.sigma_max, self.sigma_data
        return restoration_of(Prior(self.prior, self.spec.made.shape, self.network.multiple, *levels), damaged)

    def prior(self, variables: Variables) -> Denoise:
        """D(x, σ) of pictures of any kind, however many."""
        return lambda x, σ: self._denoise(variables.params, {"row": jnp.arange(len(x))}, None)(x, σ)

    @property
    def needs_given(self) -> bool:
        """Whether a reward's samples are made for the data's own prompts: where those are sentences."""
        return gives_sentence(self.spec)

    def _denoise(self, params: Params, request: Batch, hidden: jax.Array | None) -> Denoise:
        condition = condition_of(self.spec, request, hidden)
        return lambda x, σ: self.denoiser(params, x, σ, condition)

    def check_policy(self) -> None:
        if not self.needs_given:
            check_any_kind(self.spec, self.condition_dropout)

    def rollout(self, variables: Variables, request: Batch, key: Key) -> Trajectory:
        """Ancestral episodes; rounding to levels comes after the last action, outside of the policy."""
        start_key, action_key = jax.random.split(key)
        row = request["row"]
        start = self.sigma_max * normal(start_key, row, self.spec.made.shape)
        denoise = self.guided(variables, request)
        states, log_prob = ancestral(denoise, start, self._sigmas, self.last_noise, action_key, row)
        given = dict(request.get("given", {}))
        example = {"given": given, "made": {"value": to_levels(states[:, -1], self.levels)}}
        return Trajectory({"row": row, "given": given}, states, log_prob, example)

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, T] nats of an episode's actions, under the sampler and guidance that drew them."""
        denoise = self.guided(variables, trajectory.request)
        return ancestral_log_prob(denoise, trajectory.actions, self._sigmas, self.last_noise)

    @property
    def _sigmas(self) -> jax.Array:
        """[T] noise levels of the states that an action starts from."""
        return schedule(self.actions, self.sigma_min, self.sigma_max)
