"""Pictures in one evaluation, trained without another model: the average velocity of the flow (MeanFlow).

On a straight path z_t = (1 − t) x₀ + t ε with the velocity v = ε − x₀, the network predicts the average velocity of the
flow from time r to time t > r (arXiv 2505.13447),

    u(z_t, r, t) = (z_t − z_r) / (t − r)                                                                             (1)

so that one evaluation takes a step of any length, z_r = z_t − (t − r) u. Differentiated along the flow, (1) is

    u = v − (t − r) (∂u/∂z v + ∂u/∂t)                                                                                (2)

whose right-hand side, with no gradient, is what the network learns. It is linear in v, so that a drawn v may stand for
the mean at z_t. Its bracket is one derivative along the flow. Where r = t this is flow matching's loss.

The network F is EDM's (arXiv 2206.00364), written for u = (z_t − D) / t, which needs no division by a small t:

    u = (t − σ_d² (1 − t)) / n z_t − σ_d / √n F(z_t / √n, t, t − r),   n = t² + σ_d² (1 − t)²                        (3)

so that z_t, the whole of which is in u, passes by the network. F is differentiated in t and in t − r: both are told
slowly, or the bracket of (2) is large where F itself has nothing to tell.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.layout import Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.errors import UserError
from jaxgen.families.diffusion.denoiser import spread
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.noise_features import noise_features
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.conditions import Condition, check_conditions, check_fraction, condition_of, hidden_rows, with_drawn
from jaxgen.ops.levels import straight_through, to_levels, to_unit
from jaxgen.ops.rows import normal, row_keys, uniform
from jaxgen.types import Batch, Extra, Image, Key, Params, Spec, Variables

_SLOWER = 8.0  # times are told at 1/8 to 8 radians a unit, where a denoiser is told its noise at 1 to 64


@dataclass(frozen=True)
class MeanFlowSteps:
    """`steps` equal steps from noise to the picture, one evaluation each."""

    steps: int = 1

    def __post_init__(self):
        if not 1 <= self.steps <= 1000:
            raise UserError(f"sampler.steps is {self.steps}; give 1 to 1,000")

    def knobs(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class MeanFlow:
    """Pictures in [-1, 1] by equations 1 to 3, under what is given.

    The logits of t and r ~ N(time_mean, time_std²), the larger is t; in a fraction `same` of the rows r = t. A row's
    squared error e, a mean over dimensions, is divided by (e + 0.001)^power, with no gradient (section 4.3).
    """

    network: DiffusionTransformer | UNet = DiffusionTransformer()
    time_mean: float = 0.0
    time_std: float = 2.0
    same: float = 0.5
    power: float = 0.5
    sigma_data: float = 0.8  # of the pictures around 0
    condition_dropout: float = 0.1  # fraction of the rows whose given is hidden in training
    sampler: MeanFlowSteps = MeanFlowSteps()
    spec: Spec | None = None  # from the data

    def __post_init__(self):
        check_fraction(self.condition_dropout)
        if not (0 <= self.same <= 1 and self.time_std > 0 and 0 <= self.power < math.inf and self.sigma_data > 0):
            raise UserError(
                f"same is {self.same}, time_std {self.time_std}, power {self.power} and sigma_data {self.sigma_data}; "
                "give a fraction, a number above 0, one of 0 or more and one above 0"
            )

    def sized(self, spec: Spec) -> "MeanFlow":
        if not isinstance(spec.made, Image):
            raise UserError("a MeanFlow makes pictures and this data set has none; choose data with pictures")
        check_conditions(spec, "MeanFlow", prompts=True)
        self.network.check(spec.made.shape)
        return replace(self, network=self.network.clone(image=spec.made.shape, outputs=1), spec=spec)

    def init(self, key: Key) -> Variables:
        shape = (1, *self.spec.made.shape)
        condition = _with_interval(condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)}), jnp.zeros(1))
        variables = self.network.init(key, jnp.zeros(shape, jnp.float32), jnp.zeros(1, jnp.float32), condition)
        return Variables(variables["params"], Extra())

    def velocity(
        self,
        params: Params,
        z: jax.Array,
        r: jax.Array,
        t: jax.Array,
        condition: Condition | None,
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """[B, H, W, C]: u(z_t, r, t) of eq. 3, r and t [B]; `keys` [B] draw each row's dropout."""
        given, T, σ_d = _with_interval(condition, t - r), spread(t), self.sigma_data
        n = T**2 + σ_d**2 * (1 - T) ** 2
        F = self.network.apply({"params": params}, z * jax.lax.rsqrt(n), t / _SLOWER, given, keys)[..., 0]
        return (T - σ_d**2 * (1 - T)) / n * z - σ_d * jax.lax.rsqrt(n) * F

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("mean_flow", self.loss),)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        error = self.errors(variables, batch, key)
        scale = jax.lax.stop_gradient((error + 1e-3) ** self.power)
        return Mean.of(error / scale, batch.get("weight")), Aux({"squared_error": Mean.of(error, batch.get("weight"))})

    def errors(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B]: |u - sg(right-hand side of eq. 2)|², a mean over dimensions."""
        times_key, noise_key, hiding, dropout_key = jax.random.split(key, 4)
        row = batch["row"]
        condition = condition_of(self.spec, batch, hidden_rows(self.condition_dropout, hiding, row))
        x0 = to_unit(batch["made"]["value"], self.spec.made.levels)
        ε = normal(noise_key, row, x0.shape[1:])
        r, t = self._times(times_key, row)
        keys = row_keys(dropout_key, row) if self.network.dropout else None  # one mask for all
        v = ε - x0
        z = x0 + spread(t) * v

        def velocity(params: Params, z: jax.Array, t: jax.Array) -> jax.Array:
            return self.velocity(params, z, r, t, condition, keys)

        fixed = jax.lax.stop_gradient(variables.params)
        change = forward_derivative(functools.partial(velocity, fixed), (z, t), (v, jnp.ones_like(t)))
        target = v - spread(t - r) * change
        return jnp.mean((velocity(variables.params, z, t) - target) ** 2, axis=(1, 2, 3))

    def _times(self, key: Key, row: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B] r and t, r <= t."""
        both_key, same_key = jax.random.split(key)
        both = jax.nn.sigmoid(self.time_mean + self.time_std * normal(both_key, row, (2,)))  # [B, 2]
        t = both.max(axis=1)
        return jnp.where(uniform(same_key, row, ()) < self.same, t, both.min(axis=1)), t

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return Diffusion(self.network).layout()

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return {"error": Mean.of(self.errors(variables, batch, key), batch["weight"])}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """The squared error of the average velocity; what no model can tell of ε and x₀ is part of it."""
        return {"velocity_error": sums["error"].value}

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] by the sampler; what is not given is of any kind."""
        return self.decode(variables, request, self.draw_noise(request["row"], key))

    def draw_noise(self, row: jax.Array, key: Key) -> tuple[jax.Array, ...]:
        """Where the flow starts, one array of a picture's shape."""
        return (normal(key, row, self.spec.made.shape),)

    def decode(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> Batch:
        x = self._pictures(variables, request, noise)
        return {"given": dict(request.get("given", {})), "made": {"value": to_levels(x, self.spec.made.levels)}}

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """The levels of `sample` under the same key, as floats [B, H, W, C]; rounding is left out of their gradient.

        A class that is not given is drawn evenly, unless `condition_dropout` has trained pictures of any class.
        """
        if not self.condition_dropout:
            request = with_drawn(self.spec, request, jax.random.fold_in(key, 1))
        pictures = self._pictures(variables, request, self.draw_noise(request["row"], key))
        levels = straight_through(pictures, self.spec.made.levels)
        return {"given": dict(request.get("given", {})), "made": {"value": levels}}

    def _pictures(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> jax.Array:
        """[B, H, W, C] in about [-1, 1]."""
        condition, steps = condition_of(self.spec, request), self.sampler.steps

        def step(z: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
            t = jnp.full(len(z), 1 - number / steps, jnp.float32)
            return z - self.velocity(variables.params, z, t - 1 / steps, t, condition) / steps, None

        return jax.lax.scan(step, noise[0], jnp.arange(steps))[0]


def forward_derivative(
    function: Callable[..., jax.Array], at: tuple[jax.Array, ...], along: tuple[jax.Array, ...]
) -> jax.Array:
    """The derivative of `function` at `at` along `along`: the transpose of the backward one, which is linear.

    It is jax.jvp's, which layers with gradients of their own (3x3 convolutions, bfloat16 products) do not have.
    """
    value, pull = jax.vjp(function, *at)
    _, push = jax.vjp(pull, jnp.zeros_like(value))
    return push(along)[0]


def _with_interval(condition: Condition | None, interval: jax.Array) -> Condition:
    """The condition with features of t - r [B], which is how a network of one time is told a second one."""
    features = noise_features(interval / _SLOWER) / 4  # of length 1, as a class
    if condition is None:
        return Condition(features)
    return condition.replace(vector=jnp.concatenate([condition.vector, features], axis=-1))
