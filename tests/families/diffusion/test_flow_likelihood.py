"""The likelihood by the probability flow against closed forms: Gaussians, a mixture, levels that are enumerated."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.core.mean import Mean
from jaxgen.errors import UserError
from jaxgen.families.diffusion.flow_likelihood import FlowLikelihood, flow_log_density
from jaxgen.ops.convolution import convolution
from jaxgen.ops.rows import normal
from tests.families.diffusion.test_samplers import MEANS, SHARES, SPREAD, gaussian, traced

KEY, LOW, HIGH = jax.random.key(4), 0.02, 60.0
BITS = np.log(2)


def probes_of(count, rows, shape):
    return FlowLikelihood(probes=count)._probes(KEY, jnp.arange(rows), shape)


def test_a_gaussians_density_is_its_closed_form():
    mean, deviation, shape = -0.4, 0.7, (2, 2, 1)
    x = mean + np.hypot(deviation, LOW) * normal(KEY, jnp.arange(50), shape)
    D = gaussian(mean, deviation)
    data = stats.norm.logpdf(x, mean, np.hypot(deviation, LOW)).sum(axis=(1, 2, 3))
    wider = np.hypot(deviation, HIGH) / np.hypot(deviation, LOW)  # the flow keeps each point's quantile
    exact = (stats.norm.logpdf(mean + wider * (np.asarray(x) - mean), 0, HIGH) + np.log(wider)).sum(axis=(1, 2, 3))
    find = jax.jit(lambda x, p: flow_log_density(lambda x, σ: D(x, σ[0]), x, (LOW, HIGH), 24, p))
    for count in (0, 2):  # its derivative is the same in every direction
        found = find(x, probes_of(count, 50, shape)).mean(axis=1)
        assert abs(float(np.mean(found - data))) < 0.01 * 4 * BITS
        np.testing.assert_allclose(found, exact, atol=5e-3)


def test_a_mixtures_density_is_its_closed_form_and_the_error_it_tells_is_the_one_it_has():
    """Within 0.01 bits a dimension; a fifteenth of what half the steps change is about what is wrong."""
    rng, shape, count = np.random.default_rng(0), (1, 4, 1), 400
    wide = np.hypot(SPREAD, LOW)
    means = MEANS[rng.choice(3, (count, *shape), p=SHARES)]
    x = jnp.asarray(means + wide * rng.standard_normal(means.shape), jnp.float32)
    exact = np.log((SHARES * stats.norm.pdf(np.asarray(x)[..., None], MEANS, wide)).sum(axis=-1)).sum(axis=(1, 2, 3))

    def error(steps, probes):
        find = jax.jit(lambda x: flow_log_density(traced, x, (LOW, HIGH), steps, probes))
        return (np.asarray(find(x)).mean(axis=1) - exact).mean() / 4 / BITS

    directions = probes_of(0, count, shape)
    fine, coarse = error(24, directions), error(12, directions)
    assert abs(fine) < 0.01 and abs((coarse - fine) / 15) > 0.3 * abs(fine) - 5e-4, (fine, coarse)


def figures_of(likelihood, levels, sigma, pixels=3, count=64):
    """Of pixels that are one of two levels, each as often, under their exact denoiser and decoder."""
    values = jnp.array([-0.5, 0.5])
    level = jax.random.bernoulli(KEY, 0.5, (count, 1, pixels, 1)).astype(jnp.int32)

    def decode(x, σ):
        return jax.nn.log_softmax(-0.5 * ((x[..., None] - values) / σ[:, None, None, None, None]) ** 2)

    def denoise(x, σ):
        return jnp.exp(decode(x, σ)) @ values

    def sums(level):
        row = jnp.arange(count)
        return likelihood.sums(denoise, decode, values[level], level, (sigma, HIGH), KEY, row, jnp.ones(count))

    return likelihood.figures(jax.jit(sums)(level), pixels)


def test_the_exact_trace_takes_less_memory_than_the_jacobian_whose_trace_it_is():
    """A denoiser whose Jacobian is full; √d e_i for probes give d times its diagonal, all in one piece."""
    shape, rows, dims = (16, 12, 1), 8, 192
    matrix = jax.random.normal(KEY, (dims, dims)) / dims
    x = normal(KEY, jnp.arange(rows), shape)

    def denoise(x, σ):
        return jnp.tanh(x.reshape(rows, dims) @ matrix / (1 + σ[:, None])).reshape(x.shape)

    @jax.jit
    def find(x, probes):
        return flow_log_density(denoise, x, (LOW, HIGH), 4, probes)

    whole = jnp.broadcast_to(np.sqrt(dims) * jnp.eye(dims).reshape(dims, *shape), (rows, dims, *shape))
    np.testing.assert_allclose(find(x, None)[:, 0], find(x, whole).mean(axis=1), rtol=1e-5)
    needed = find.lower(x, None).compile().memory_analysis().temp_size_in_bytes
    assert needed < rows * dims**2 * 4 / 2  # bytes of the Jacobian


def test_convolutions_with_gradients_of_their_own_have_the_density_of_xla_s():
    kernel = 0.1 * jax.random.normal(jax.random.key(3), (3, 3, 1, 1))
    x = jax.random.normal(jax.random.key(4), (2, 4, 4, 1))
    probes = jax.random.rademacher(jax.random.key(5), (2, 3, 4, 4, 1), jnp.float32)

    def xla(x):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    for some in (None, probes):
        ours, theirs = (
            flow_log_density(lambda x, σ, convolve=convolve: convolve(x) / (1 + σ[0]), x, (0.1, 2.0), 4, some)
            for convolve in (lambda x: convolution(x, kernel), xla)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_two_levels_of_equal_share_cost_one_bit():
    """At any σ_min: under the exact decoder the dequantisation costs nothing."""
    for sigma in (0.05, 0.4):
        figures = figures_of(FlowLikelihood(steps=48, probes=0), 2, sigma)
        assert abs(float(figures["flow_bits_per_dim"]) - 1) < 0.01
        assert float(figures["flow_probe_error_bits_per_dim"]) == 0


def test_the_probes_standard_error_is_that_of_their_mean():
    exact = figures_of(FlowLikelihood(steps=16, probes=0), 2, 0.3)["flow_bits_per_dim"]
    some = figures_of(FlowLikelihood(steps=16, probes=2), 2, 0.3)
    assert abs(float(some["flow_bits_per_dim"] - exact)) < 5 * float(some["flow_probe_error_bits_per_dim"]) + 1e-5


def test_the_standard_error_falls_with_the_pictures():
    one = {"flow_nats": Mean(3.0, 4.0), "flow_steps": Mean(0.0, 4.0), "flow_variance": Mean(8.0, 4.0)}
    found = FlowLikelihood().figures(one, 2)["flow_probe_error_bits_per_dim"]
    np.testing.assert_allclose(found, np.sqrt(8.0) / 4 / 2 / BITS)


def test_settings_that_do_not_suit_are_refused_in_a_sentence():
    for field, value in {"steps": 5, "probes": 1}.items():
        with pytest.raises(UserError, match=rf"likelihood.{field} .*give"):
            replace(FlowLikelihood(), **{field: value})
