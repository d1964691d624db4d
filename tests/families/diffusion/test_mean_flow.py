"""MeanFlow against average velocities that are known, of a single picture and of Gaussian pixels, which it learns."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import lively

from jaxgen.core.task import Reparameterised, Task
from jaxgen.errors import UserError
from jaxgen.families.diffusion.mean_flow import MeanFlow, MeanFlowSteps, forward_derivative
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.unet import UNet
from jaxgen.ops.noise import preconditioning
from jaxgen.ops.rows import normal
from jaxgen.types import Variables
from tests.given import asked, pictures, values_of

KEY = jax.random.key(6)
SMALL = MeanFlow(DiffusionTransformer(width=16, blocks=1, heads=2, expansion=2))


def spread(t):
    return t[:, None, None, None]


@dataclass(frozen=True)
class OfOnePicture(MeanFlow):
    """u of data that are one grey level c everywhere: every path is straight, u = v = (z - c) / t."""

    c: float = 0.0

    def velocity(self, params, z, r, t, condition, keys=None):
        return params["scale"] * (z - self.c) / spread(t)


@dataclass(frozen=True)
class OfGaussians(MeanFlow):
    """u of pixels N(m, s²): the flow keeps each quantile, z_r = m_r + s_r/s_t (z - m_t)."""

    m: float = -0.3
    s: float = 0.25

    def velocity(self, params, z, r, t, condition, keys=None):
        s_r, s_t = (jnp.sqrt((1 - time) ** 2 * self.s**2 + time**2) for time in (r, t))
        at_r = spread((1 - r) * self.m) + spread(s_r / s_t) * (z - spread((1 - t) * self.m))
        # where r = t, the limit, which is the velocity itself
        slope = (t - (1 - t) * self.s**2) / s_t**2
        limit = spread(slope) * (z - spread((1 - t) * self.m)) - self.m
        same = spread(t - r) < 1e-3
        u = jnp.where(same, limit, (z - at_r) / spread(jnp.where(t - r < 1e-3, 1.0, t - r)))
        return params["scale"] * u + params["shift"]


def batch_of(value):
    return {"row": jnp.arange(len(value)), "given": {}, "made": {"value": value}}


def test_the_exact_velocity_of_one_picture_has_no_error_and_one_step_makes_it():
    task = OfOnePicture(c=0.5, sampler=MeanFlowSteps(steps=1)).sized(pictures((4, 4, 1), levels=5))
    variables, batch = Variables({"scale": jnp.float32(1.0)}), batch_of(jnp.full((64, 4, 4, 1), 3, jnp.uint8))
    errors = jax.jit(lambda v: task.errors(v, batch, KEY))
    np.testing.assert_allclose(errors(variables), 0, atol=1e-6)
    assert float(errors(Variables({"scale": jnp.float32(1.1)})).min()) > 1e-3
    for steps in (1, 3):
        made = replace(task, sampler=MeanFlowSteps(steps)).sample(variables, {"row": jnp.arange(5)}, KEY)
        np.testing.assert_array_equal(values_of(made), 3)


def test_the_exact_velocity_of_gaussians_is_where_the_loss_pushes_nowhere():
    """The gradient of the mean error in a scale and a shift of u is zero but for Monte Carlo noise."""
    task = OfGaussians(same=0.3).sized(pictures((8, 8, 1), levels=256))
    count = 4000
    pixels = task.m + task.s * jax.random.normal(jax.random.key(1), (count, 8, 8, 1))
    batch = batch_of(jnp.clip(jnp.round((pixels + 1) * 127.5), 0, 255).astype(jnp.uint8))

    def slope(scale, shift):
        def mean(params):
            return task.errors(Variables(params), batch, KEY).mean()

        found = jax.jit(jax.grad(mean))({"scale": jnp.float32(scale), "shift": jnp.float32(shift)})
        return np.array([found["scale"], found["shift"]])

    exact = slope(1.0, 0.0)
    assert np.abs(exact).max() < 0.02
    assert slope(1.2, 0.0)[0] > 0.1 and slope(1.0, 0.2)[1] > 0.1


def test_the_network_is_that_of_a_preconditioned_denoiser():
    """u = (z - D) / t with D of arXiv 2206.00364 (table 1) at x = z / (1 - t), sigma = t / (1 - t)."""
    task = SMALL.sized(pictures((4, 4, 1), levels=5))
    F, t = jax.random.normal(jax.random.key(1), (5, 4, 4, 1)), jnp.array([0.01, 0.3, 0.5, 0.9, 0.99])
    z, read = jax.random.normal(KEY, (5, 4, 4, 1)), []

    class Known:
        def apply(self, params, x, c_noise, given, keys):
            read.append(x)
            return F[..., None]

    u = MeanFlow.velocity(replace(task, network=Known()), {}, z, 0 * t, t, None)
    c = preconditioning(t / (1 - t), task.sigma_data)
    x = z / spread(1 - t)
    np.testing.assert_allclose(read[0], spread(c.c_in) * x, rtol=1e-5)
    denoised = spread(c.c_skip) * x + spread(c.c_out) * F
    np.testing.assert_allclose(u, (z - denoised) / spread(t), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_it_learns_the_average_velocity_of_gaussians():
    exact, steps, rows = OfGaussians(), 500, jnp.arange(1024)
    network = DiffusionTransformer(width=16, blocks=1, heads=2, expansion=2, patch=2)
    task = MeanFlow(network, same=0.5, time_mean=0.0, time_std=2.0, sigma_data=0.4).sized(pictures((2, 2, 1), 256))
    optimiser = optax.adam(optax.cosine_decay_schedule(5e-3, steps))

    def drawn(key):
        return exact.m + exact.s * normal(key, rows, (2, 2, 1))

    def step(state, number):
        (params, moments), key = state, jax.random.fold_in(KEY, number)
        batch = batch_of(jnp.clip(jnp.round((drawn(key) + 1) * 127.5), 0, 255).astype(jnp.uint8))
        gradient = jax.grad(lambda p: task.errors(Variables(p), batch, key).mean())(params)
        updates, moments = optimiser.update(gradient, moments)
        return (optax.apply_updates(params, updates), moments), None

    params = jax.jit(task.init)(KEY).params
    train = jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(steps))[0])
    params, _ = train((params, optimiser.init(params)))
    for r, t in ((0.0, 1.0), (0.2, 0.8), (0.5, 0.5), (0.1, 0.4)):
        r, t = jnp.full(len(rows), r), jnp.full(len(rows), t)
        z = spread(1 - t) * drawn(jax.random.key(2)) + spread(t) * normal(KEY, rows, (2, 2, 1))
        known = exact.velocity({"scale": 1.0, "shift": 0.0}, z, r, t, None)
        gap = task.velocity(params, z, r, t, None) - known
        assert jnp.mean(gap**2) < 0.02 * jnp.mean(known**2)


@pytest.mark.parametrize(
    "network",
    [
        SMALL.network,
        pytest.param(UNet(width=8, widths=(1,), blocks=1), marks=pytest.mark.slow, id="with a gradient of its own"),
    ],
)
def test_the_derivative_is_what_differences_tend_to(network):
    shape, t, step = (4, 4, 4, 1), jnp.linspace(0.2, 0.9, 4), 1e-2
    task = replace(SMALL, network=network).sized(pictures(shape[1:], levels=17))
    params = lively(jax.jit(task.init)(KEY)).params
    z, along = (jax.random.normal(jax.random.key(number), shape) for number in (1, 2))

    @jax.jit
    def velocity(z, t):
        return task.velocity(params, z, 0.2 * jnp.ones_like(t), t, None)

    ahead, behind = (velocity(z + way * along, t + way) for way in (step, -step))
    found = jax.jit(lambda: forward_derivative(velocity, (z, t), (along, jnp.ones_like(t))))()
    np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=0.02, atol=0.02)


def test_it_is_a_task_that_draws_by_the_key_and_row_alone():
    task = SMALL.sized(pictures((8, 8, 1), levels=17, classes=10))
    assert isinstance(task, Task) and isinstance(task, Reparameterised)
    variables = jax.jit(task.init)(KEY)
    whole = values_of(jax.jit(task.sample)(variables, asked(jnp.arange(6)), KEY))
    assert whole.shape == (6, 8, 8, 1) and whole.dtype == jnp.uint8
    drawn = values_of(jax.jit(task.draw)(variables, asked(jnp.arange(6)), KEY))
    assert np.mean(np.abs(drawn - np.float32(whole)) < 1e-3) > 0.98
    gradient = jax.jit(jax.grad(lambda p: task.loss(Variables(p), task_batch(8), KEY)[0].total))(variables.params)
    assert any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))


def task_batch(count):
    label = jnp.arange(count) % 10
    value = jax.random.randint(KEY, (count, 8, 8, 1), 0, 17).astype(jnp.uint8)
    return batch_of(value) | {"given": {"class": {"value": label}}}


def test_settings_that_do_not_suit_are_refused_in_a_sentence():
    unsuited = {"same": 1.5, "time_std": 0.0, "power": -1.0, "sigma_data": 0.0, "condition_dropout": 1.0}
    for field, value in unsuited.items():
        with pytest.raises(UserError, match=field):
            replace(SMALL, **{field: value})
    with pytest.raises(UserError, match=r"sampler.steps"):
        MeanFlowSteps(steps=0)
