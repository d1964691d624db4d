"""Processes and predictions by their equations, there and back for every pair; training noise and its weights."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxgen.errors import UserError
from jaxgen.families.diffusion.denoiser import Denoiser
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.process import (
    FlowMatching,
    Prediction,
    VarianceExploding,
    VariancePreserving,
    affine,
)
from jaxgen.families.diffusion.training_noise import (
    EDMWeight,
    LogitNormal,
    LogNormal,
    MinSNR,
    PredictionWeight,
    UniformTime,
)

PROCESSES = [VarianceExploding(), VariancePreserving(), VariancePreserving(0.5, 0.5), FlowMatching()]
AFFINE = [prediction for prediction in Prediction if prediction is not Prediction.LEVELS]
KEY, ROW = jax.random.key(1), jnp.arange(4000)
SIGMAS = jnp.array([0.003, 0.05, 0.4, 1.0, 6.0, 50.0])
every_process = pytest.mark.parametrize("process", PROCESSES, ids=str)


def denoiser(prediction, process=PROCESSES[0], sigma_data=0.7):
    return Denoiser(DiffusionTransformer(parent=None), prediction, process, sigma_data, 17)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(PROCESSES), st.integers(0, 1000), st.floats(-5, 4), st.floats(0.2, 2.0), st.permutations(AFFINE)
)
def test_there_and_back_between_every_pair_of_predictions(process, seed, log_sigma, sigma_data, order):
    """D -> F -> D for each, and so from any F to any other: a chain through all of them returns to where it began."""
    drawn, σ = np.random.default_rng(seed).normal(size=(2, 8)).astype(np.float32), jnp.exp(jnp.float32(log_sigma))
    clean, x = drawn[0], drawn[0] + σ * drawn[1]
    close = {"rtol": 1e-4, "atol": 2e-5 * float(1 + σ)}
    chained = clean
    for prediction in order:
        pair = affine(prediction, process, σ, sigma_data)
        chained = pair.clean(pair.predicted(chained, x), x)
        np.testing.assert_allclose(chained, clean, **close)
    for one, other in itertools.pairwise(order):
        one, other = affine(one, process, σ, sigma_data), affine(other, process, σ, sigma_data)
        predicted = one.predicted(clean, x)
        back = one.predicted(other.clean(other.predicted(one.clean(predicted, x), x), x), x)
        np.testing.assert_allclose(back * one.c_out, predicted * one.c_out, **close)  # in pictures' units


@every_process
def test_each_prediction_is_what_its_equation_says(process):
    """Of pictures and noise that are known, so that D is the picture; the velocity by differentiating the path."""
    clean, ε = np.random.default_rng(0).normal(size=(2, len(SIGMAS))).astype(np.float32)
    σ = SIGMAS
    x, s = clean + σ * ε, process.scale(σ)
    path = lambda t: process.scale(process.sigma(t)) * (clean + process.sigma(t) * ε)  # noqa: E731
    _, velocity = jax.jvp(path, (process.time(σ),), (jnp.ones_like(σ),))
    wanted = {
        Prediction.X0: clean,
        Prediction.NOISE: ε,
        Prediction.V: (ε - σ * clean) / jnp.sqrt(1 + σ**2),
        Prediction.SCORE: -ε / (s * σ),
        Prediction.VELOCITY: velocity,
    }
    for prediction, value in wanted.items():
        pair = affine(prediction, process, σ, 0.7)
        np.testing.assert_allclose(pair.clean(value, x), clean, rtol=1e-3, atol=1e-4, err_msg=str(prediction))


def test_edms_f_for_data_of_variance_one_is_v_with_the_other_sign():
    edm, v = (affine(kind, PROCESSES[0], SIGMAS, 1.0) for kind in (Prediction.PICTURE, Prediction.V))
    np.testing.assert_allclose(edm.c_skip, v.c_skip, rtol=1e-5)
    np.testing.assert_allclose(edm.c_out, -v.c_out, rtol=1e-5)


@every_process
def test_time_and_noise_level_go_there_and_back(process):
    np.testing.assert_allclose(process.sigma(process.time(SIGMAS)), SIGMAS, rtol=2e-5)
    assert np.all(np.diff(process.time(SIGMAS)) > 0)


def test_the_scales_keep_what_each_process_keeps():
    preserving, flow = VariancePreserving(), FlowMatching()
    np.testing.assert_allclose(preserving.scale(SIGMAS) ** 2 * (1 + SIGMAS**2), 1, rtol=1e-5)
    np.testing.assert_allclose(flow.scale(SIGMAS) * (1 + SIGMAS), 1, rtol=1e-5)
    t = jnp.linspace(0.05, 0.9, 6)
    log_scale = lambda t: jnp.log(preserving.scale(preserving.sigma(t)))  # noqa: E731
    β = 0.1 + t * 19.9
    np.testing.assert_allclose(jax.vmap(jax.grad(log_scale))(t), -β / 2, rtol=1e-3)  # the drift of eq. 32's SDE
    assert float(preserving.sigma(1.0)) == pytest.approx(np.sqrt(np.expm1(10.05)), rel=1e-4)
    assert float(flow.sigma(0.5)) == 1


@every_process
def test_uniform_time_is_uniform_between_the_ends(process):
    σ = UniformTime().sigmas(KEY, ROW, process, 0.03, 20.0)
    first, last = process.time(jnp.float32(0.03)), process.time(jnp.float32(20.0))
    assert stats.kstest((process.time(σ) - first) / (last - first), "uniform").pvalue > 1e-3
    np.testing.assert_allclose(UniformTime().sigmas(KEY, ROW[5:9], process, 0.03, 20.0), σ[5:9], rtol=1e-6)


def test_logit_normal_times_have_their_quantiles_and_are_log_normal_sigmas_under_flow_matching():
    process, noise = VariancePreserving(), LogitNormal(0.3, 0.8)
    first, last = process.time(jnp.float32(0.03)), process.time(jnp.float32(20.0))
    share = (process.time(noise.sigmas(KEY, ROW, process, 0.03, 20.0)) - first) / (last - first)
    logit = np.log(share / (1 - share))
    assert stats.kstest((logit - 0.3) / 0.8, "norm").pvalue > 1e-3
    wide = noise.sigmas(KEY, ROW, FlowMatching(), 1e-5, 1e5)
    np.testing.assert_allclose(wide, LogNormal(0.3, 0.8).sigmas(KEY, ROW, FlowMatching(), 1e-5, 1e5), rtol=2e-3)


@pytest.mark.parametrize("prediction", AFFINE)
@every_process
def test_the_prediction_weight_makes_the_error_that_of_what_is_predicted(process, prediction):
    net, (clean, other, ε) = denoiser(prediction, process), np.random.default_rng(1).normal(size=(3, len(SIGMAS)))
    pair, x = net.affine(SIGMAS), clean + SIGMAS * ε
    weighed = PredictionWeight()(SIGMAS, net) * (clean - other) ** 2
    own = (pair.predicted(jnp.float32(clean), x) - pair.predicted(jnp.float32(other), x)) ** 2
    np.testing.assert_allclose(weighed, own, rtol=2e-3, atol=1e-6)


def test_weights_are_those_of_their_papers():
    net = denoiser(Prediction.PICTURE)
    np.testing.assert_allclose(EDMWeight()(SIGMAS, net), PredictionWeight()(SIGMAS, net), rtol=1e-5)
    noise = denoiser(Prediction.NOISE)
    np.testing.assert_allclose(PredictionWeight()(SIGMAS, noise), 1 / SIGMAS**2, rtol=1e-5)
    np.testing.assert_allclose(MinSNR(5.0)(SIGMAS, net), [5, 5, 5, 1, 1 / 36, 1 / 2500], rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LogNormal(std=-1.0),
        lambda: LogitNormal(std=float("nan")),
        lambda: MinSNR(gamma=0.0),
        lambda: VariancePreserving(beta_min=0.0),
        lambda: VariancePreserving(beta_min=2.0, beta_max=1.0),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make):
    with pytest.raises(UserError, match=r"(noise\.std|gamma|beta_min) is .*; give"):
        make()
