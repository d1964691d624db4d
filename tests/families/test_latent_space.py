"""The latent protocol over all families: noise decodes to what `sample` gives for it, and is found again from that."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from jaxgen.core.task import Inferring, LatentSpace
from jaxgen.families.diffusion.picture_samplers import Ancestral
from jaxgen.families.diffusion.samplers import ascending, follow, heun
from jaxgen.ops.distributions import Categorical
from jaxgen.ops.levels import to_unit
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal
from tests.families.cases import KEY, MORE_DIFFUSION, batch_of, lively, request_of, task_of
from tests.families.vae.test_latents import NOISE, linear
from tests.given import cut, values_of

VAES = ("vae", "vae-two-layers", "vae-hierarchy")
DIFFUSION = ("diffusion", "diffusion-unet", *MORE_DIFFUSION)
ROWS = 6


def decoded(task, variables, request, noise):
    return np.asarray(values_of(jax.jit(task.decode)(variables, request, noise)))


def noise_of(task, row, key=KEY):
    return jax.jit(task.draw_noise)(jnp.asarray(row), key)


def both(task, variables, request):
    """The samples under a key, and the pictures of its noise."""

    @jax.jit
    def run(variables, request):
        made = task.decode(variables, request, task.draw_noise(request["row"], KEY))
        return values_of(task.sample(variables, request, KEY)), values_of(made)

    return map(np.asarray, run(variables, request))


@pytest.mark.parametrize("case", ["gan", "diffusion", "diffusion-few-steps", "diffusion-mean-flow"])
def test_noise_of_a_key_decodes_to_the_samples_under_it(case):
    np.testing.assert_array_equal(*both(task_of(case), lively(case), request_of(case, ROWS)))


@dataclass(frozen=True)
class Certain:
    """Test-only: the mean level of a likelihood, stretched and rounded, with no doubt."""

    of_numbers: Any

    def check(self, levels):
        self.of_numbers.check(levels)

    def numbers(self, levels):
        return self.of_numbers.numbers(levels)

    def of(self, x, levels):
        level = jnp.round(levels / 2 + 6 * (self.of_numbers.of(x, levels).levels_mean(levels) - levels / 2))
        return Categorical(1e4 * jax.nn.one_hot(jnp.clip(level, 0, levels - 1).astype(jnp.int32), levels))


@pytest.mark.parametrize("case", ["vae", "vae-two-layers", pytest.param("vae-hierarchy", marks=pytest.mark.slow)])
def test_a_vaes_noise_decodes_to_the_samples_under_its_key_where_no_pixel_is_in_doubt(case):
    task, request = task_of(case), request_of(case, ROWS)
    likelihood = task.decoder.pixels if case == "vae" else task.decoder.likelihood
    task = replace(task, decoder=task.decoder.clone(likelihood=Certain(likelihood)))
    sampled, made = both(task, lively(case), request)
    np.testing.assert_array_equal(made, sampled)
    assert len(np.unique(made)) > 3
    sampled, calm = both(task, lively(case), request | {"knobs": {"temperature": 0.0}})
    np.testing.assert_array_equal(calm, sampled)
    assert (calm != made).any()


@pytest.mark.parametrize(("case", "knob"), [("gan", "truncation"), ("vae", "temperature")])
def test_noise_scaled_by_zero_is_the_one_picture_of_no_noise(case, knob):
    """Of a class: whatever the row and the key are."""
    task, variables = task_of(case), lively(case)
    request = {"row": np.arange(ROWS, dtype=np.int32), "given": {"class": {"value": np.full(ROWS, 3, np.int32)}}}

    @jax.jit
    def made(scale, noise):
        return values_of(task.decode(variables, request | {"knobs": {knob: scale}}, noise))

    noise = noise_of(task, request["row"])
    found = np.asarray(made(1.0, jax.tree.map(jnp.zeros_like, noise)))
    assert (found == found[:1]).all()
    np.testing.assert_array_equal(made(0.0, noise), found)
    assert (np.asarray(made(1.0, noise)) != found).any()


@pytest.mark.parametrize("case", VAES)
def test_a_vae_reconstructs_by_the_noise_that_it_infers(case):
    task, variables, batch = task_of(case), lively(case), batch_of(case, ROWS)
    noise = jax.jit(task.infer)(variables, batch, KEY)
    assert [one.shape for one in noise] == [one.shape for one in noise_of(task, batch["row"])]
    mean = jax.jit(task.reconstruct)(variables, batch, KEY)
    difference = np.abs(decoded(task, variables, batch, noise) - np.asarray(mean))
    assert difference.max() < 0.51 and (difference < 0.5).mean() > 0.99  # rounded


@pytest.mark.parametrize("case", ["gan", *VAES[1:]])
def test_no_row_depends_on_another_and_a_class_that_is_not_given_is_the_rows_own(case):
    task, variables, batch = task_of(case), lively(case), batch_of(case, ROWS)
    batch = {name: batch[name] for name in ("row", "made")}
    infer, part = jax.jit(task.infer), slice(2, 4)
    whole = infer(variables, batch, KEY)
    for all_rows, two in zip(whole, infer(variables, cut(batch, part), KEY), strict=True):
        np.testing.assert_allclose(two, all_rows[part], atol=2e-3, rtol=2e-3)
    request = {"row": batch["row"]}
    made = decoded(task, variables, request, whole).astype(int)
    two = decoded(task, variables, cut(request, part), tuple(one[part] for one in whole)).astype(int)
    assert (np.abs(two - made[part]) > 0).mean() < 0.01  # rounding of numbers close to a half


@pytest.mark.parametrize("layers", [1, 2])
def test_a_linear_gaussian_models_own_pictures_come_of_standard_normal_noise(layers):
    """At the true posterior: of mean 0, no correlation, and normal, in all layers together."""
    task, variables, _ = linear(layers, 0.0)
    row, count = jnp.arange(20_000), 20_000
    mean = task.latents.decode(variables.params, None, task.draw_noise(row, KEY)).mean
    x = mean + NOISE * normal(jax.random.key(1), row, mean.shape[1:])
    level = jnp.round((x + 1) * 127.5)  # levels beyond 0 and 255 too: they are numbers to the encoder
    noise = jax.jit(task.infer)(variables, {"row": row, "made": {"value": level}}, KEY)
    flat = np.concatenate([np.asarray(one) for one in noise], axis=1)
    assert flat.shape == (count, 2 * layers)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(2 * layers), atol=5 * 2**0.5 / count**0.5)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=5 / count**0.5)
    assert min(kstest(one, "norm").pvalue for one in flat.T) > 1e-4
    wide = jax.jit(linear(layers, 0.4)[0].infer)(linear(layers, 0.4)[1], {"row": row, "made": {"value": level}}, KEY)
    assert abs(float(wide[0].mean())) > 0.1  # where the posterior is off, it is not


def test_a_gan_finds_latents_of_its_own_pictures():
    """Nearer than the nearest of 1,000 samples by far."""
    task, variables = task_of("gan"), lively("gan")
    variables = variables.replace(params=jax.tree.map(lambda leaf: leaf / 2, variables.params))  # fewer clipped pixels
    request = request_of("gan", ROWS)
    real = decoded(task, variables, request, noise_of(task, request["row"]))
    batch = request | {"made": {"value": real}}
    found = decoded(task, variables, request, jax.jit(task.infer)(variables, batch, KEY))
    error = ((found.astype(float) - real) ** 2).mean(axis=(1, 2, 3))
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, 1000, axis=0), request) | {"row": jnp.arange(1000 * ROWS)}
    others = decoded(task, variables, many, noise_of(task, many["row"], jax.random.key(9))).reshape(ROWS, 1000, -1)
    nearest = ((others.astype(float) - real.reshape(ROWS, 1, -1)) ** 2).mean(axis=2).min(axis=1)
    assert (error < 0.2 * nearest).all(), (error, nearest)


def test_the_flow_up_undoes_the_flow_down():
    """On Gaussian data, whose flow keeps each point's quantile."""
    mean, deviation, low, high = 0.3, 0.5, 0.03, 20.0
    x = mean + np.hypot(deviation, low) * normal(KEY, jnp.arange(50), (2, 2, 1))

    def denoise(x, σ):
        variance = σ[:, None, None, None] ** 2
        return (deviation**2 * x + variance * mean) / (deviation**2 + variance)

    up = follow(denoise, x, ascending(schedule(64, low, high)[::-1]), KEY, jnp.arange(50))
    exact = mean + np.hypot(deviation, high) / np.hypot(deviation, low) * (x - mean)
    np.testing.assert_allclose(up, exact, rtol=2e-3, atol=2e-2)
    down = follow(denoise, up, heun(schedule(64, low, high)), KEY, jnp.arange(50))
    np.testing.assert_allclose(down, denoise(x, jnp.full(50, low)), atol=2e-3)


def test_diffusion_returns_to_a_picture_from_its_noise():
    """Through the sampler with more steps; a sampler that draws keeps to a constant key."""
    task = task_of("diffusion")
    task = replace(task, sampler=replace(task.sampler, steps=64))
    variables, batch = lively("diffusion"), batch_of("diffusion", ROWS)
    noise = jax.jit(task.infer)(variables, batch, KEY)
    clean = to_unit(values_of(batch), task.levels)
    x = clean + task.sigma_min * normal(KEY, batch["row"], clean.shape[1:])
    least = task.guided(variables, batch)(x, jnp.full(ROWS, task.sigma_min))
    made = to_unit(decoded(task, variables, batch, noise), task.levels)
    assert float(jnp.abs(made - least).mean()) < 0.1 * float(jnp.abs(least - least[::-1]).mean())
    drawing = replace(task, sampler=Ancestral(steps=8))
    np.testing.assert_array_equal(*(decoded(drawing, variables, batch, noise) for _ in range(2)))


def test_the_families_that_keep_it():
    for case in ("gan", *VAES, *DIFFUSION):
        assert isinstance(task_of(case), LatentSpace)
    assert [case for case in ("gan", *VAES, *DIFFUSION) if not isinstance(task_of(case), Inferring)] == [
        "diffusion-few-steps",
        "diffusion-mean-flow",
    ]
    assert not any(isinstance(task_of(case), LatentSpace) for case in ("rnn", "vae-vq"))  # discrete codes have no noise
