"""A consistency model: its schedule, its loss at known denoisers, its sampler, a flow that it must learn, its runs."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.part import Part
from jaxgen.core.task import Likelihood, Policy, Reparameterised, Task
from jaxgen.data.builtin import digits
from jaxgen.errors import UserError
from jaxgen.families.diffusion.consistency import ConsistencyModel, heun_step
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import Consistency
from jaxgen.families.diffusion.process import Prediction, VarianceExploding
from jaxgen.families.diffusion.samplers import consistency, follow
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.ops.rows import normal
from jaxgen.types import Variables
from tests.given import asked, cut, pictures, values_of

KEY = jax.random.key(5)
DIGITS = pictures((8, 8, 1), levels=17, classes=10)
SMALL = Diffusion(DiffusionTransformer(width=16, blocks=1, heads=2, expansion=2), Prediction.PICTURE)
FEW = ConsistencyModel(SMALL, stage=100, stages=4).sized(DIGITS)


def batch_of(count):
    return jax.tree.map(jnp.asarray, cut(digits()["train"], slice(count))) | {"row": jnp.arange(count)}


def gaussian(mean, deviation):
    return lambda x, σ: mean + (deviation**2 / (deviation**2 + σ**2))[:, None, None, None] * (x - mean)


def test_it_keeps_the_contracts_it_can():
    assert isinstance(FEW, Task) and isinstance(FEW, Reparameterised)
    assert not isinstance(FEW, Likelihood) and not isinstance(FEW, Policy)


def test_the_earlier_level_nears_by_the_factor_a_stage_and_never_falls_below_zero():
    """Eq. 10 and 11 of arXiv 2406.14548 by hand."""
    t = jnp.array([0.01, 0.5, 3.0, 40.0])
    n = 1 + 8 / (1 + np.exp(np.asarray(t, np.float64)))
    for examples, stage in ((0, 0), (99, 0), (100, 1), (250, 2), (399, 3), (100_000, 3)):
        r = FEW.earlier(t, jnp.int32(examples))
        np.testing.assert_allclose(r, t * np.maximum(0, 1 - n / 2.0 ** (stage + 1)), rtol=1e-5, atol=1e-7)


def test_at_stage_zero_without_a_teacher_the_loss_is_a_denoisers():
    """Where r is 0 the target is the clean picture, and an untrained network gives c_skip x."""
    batch, task = batch_of(32), replace(FEW, factor=1.0001, huber=0.0)
    variables = jax.jit(task.init)(KEY)
    errors = jax.jit(lambda: task.errors(variables, batch, KEY))()
    sigma_key, noise_key, _, _ = jax.random.split(KEY, 4)
    σ = task.model.noise.sigmas(sigma_key, batch["row"], VarianceExploding(), 0.03, 20.0)[:, None, None, None]
    x0 = np.asarray(values_of(batch), np.float32) / 8 - 1
    x = x0 + σ * normal(noise_key, batch["row"], (8, 8, 1))
    gap = jnp.sqrt(jnp.mean((x0 - x * 0.8**2 / (0.8**2 + σ**2)) ** 2, axis=(1, 2, 3)))
    σ = σ[:, 0, 0, 0]
    np.testing.assert_allclose(errors, gap * (σ**2 + 0.8**2) / (σ * 0.8) ** 2, rtol=1e-4)


def test_the_teachers_step_follows_its_flow_to_order_two():
    """On a Gaussian, whose flow keeps each point's quantile; to 0 it is D itself."""
    mean, deviation, t = -0.4, 0.7, jnp.array([2.0, 2.0, 2.0])
    x = mean + jnp.array([-3.0, 0.5, 4.0]).reshape(3, 1, 1, 1)

    def error(ratio):
        r = t * ratio
        exact = mean + np.sqrt((deviation**2 + r**2) / (deviation**2 + t**2))[:, None, None, None] * (x - mean)
        return float(np.abs(heun_step(gaussian(mean, deviation), x, t, r) - exact).max())

    assert error(0.9) < 2e-3 and 6 < error(0.9) / error(0.95) < 10  # one step of order 2: 2³
    made = heun_step(gaussian(mean, deviation), x, t, jnp.zeros(3))
    np.testing.assert_allclose(made, gaussian(mean, deviation)(x, t), rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_an_exact_consistency_function_of_a_gaussian_draws_it(steps):
    """f(x, σ) = μ + s / √(s² + σ²) (x - μ) keeps each quantile; only the start, of mean 0 instead of μ, is off."""
    mean, s, count, high = -0.4, 0.7, 4000, 40.0

    def f(x, σ):
        return mean + (s * jax.lax.rsqrt(s**2 + σ**2))[:, None, None, None] * (x - mean)

    sampler = Consistency(steps=steps)
    sigmas = sampler.sigmas(VarianceExploding(), 0.03, high)
    assert sigmas[0] == high and len(sigmas) == steps and (steps == 1 or abs(float(sigmas[-1]) - 1) < 1e-5)
    row = jnp.arange(count)
    x = high * normal(KEY, row, (1, 4, 1))
    made = np.asarray(jax.jit(lambda x: follow(f, x, sampler.table(sigmas, {}), jax.random.key(1), row))(x)).ravel()
    assert abs(made.mean() - mean) < 5 * s / np.sqrt(made.size) + 0.02
    assert abs(made.std() - s) < 0.02


def test_the_table_is_the_algorithm():
    sigmas, row = jnp.array([20.0, 4.0, 0.8]), jnp.arange(5)
    x = 20.0 * normal(KEY, row, (1, 2, 1))
    f = gaussian(0.2, 0.5)
    wanted = f(x, jnp.full(5, 20.0))
    for number in (1, 2):
        σ = sigmas[number]
        wanted = f(wanted + σ * normal(jax.random.fold_in(KEY, number), row, (1, 2, 1)), jnp.full(5, σ))
    np.testing.assert_allclose(follow(f, x, consistency(sigmas), KEY, row), wanted, rtol=1e-5)


def test_a_teacher_teaches_under_its_own_guidance_and_its_weights_are_a_part():
    teacher = Part("teacher", "task.teacher.path=runs/other", SMALL.sized(DIGITS), DIGITS)
    task, batch = replace(FEW, teacher=teacher).sized(DIGITS), batch_of(8)
    variables, other = jax.jit(task.init)(KEY), jax.jit(task.init)(jax.random.key(1))
    late = {"examples": jnp.int32(300)}
    both = Variables(variables.params, variables.extra.replace(shared=late), {"teacher": other})
    gradient = jax.jit(jax.grad(lambda v: task.errors(v, batch, KEY).sum(), allow_int=True))(both)
    moved = lambda tree: any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert moved(gradient.params) and not moved(gradient.parts["teacher"].params)
    for other, sentence in (
        (Part("teacher", "task.teacher.path=runs/other", FEW, DIGITS), "no probability flow"),
        (Part("teacher", "task.teacher.path=runs/other", SMALL, pictures((8, 8, 1), 17)), "same data"),
    ):
        with pytest.raises(UserError, match=sentence):
            replace(FEW, teacher=other).sized(DIGITS)


def test_fields_that_do_not_suit_are_refused_in_a_sentence():
    for field, value in {"factor": 1.0, "stage": 0, "stages": 0, "huber": -1.0}.items():
        with pytest.raises(UserError, match=field):
            replace(FEW, **{field: value})
    for field, value in {"steps": 0, "lowest": 0.0}.items():
        with pytest.raises(UserError, match=rf"sampler.{field} .*give"):
            Consistency(**{field: value})
    with pytest.raises(UserError, match=r"sampler.lowest is 0.01; give at least the task's sigma_min, 0.03"):
        replace(FEW, sampler=Consistency(lowest=0.01)).sized(DIGITS)
    assert replace(FEW, sampler=Consistency(lowest=0.03)).sized(DIGITS)


def test_draws_are_the_samples_levels():
    variables = jax.jit(FEW.init)(KEY)
    request = asked(jnp.arange(6))
    drawn = values_of(jax.jit(FEW.draw)(variables, request, KEY))
    sampled = values_of(jax.jit(FEW.sample)(variables, request, KEY))
    assert np.mean(np.abs(drawn - np.float32(sampled)) < 1e-3) > 0.98 and sampled.dtype == jnp.uint8
