"""Bounds are the closed form in linear-Gaussian models; probabilities of all pictures sum to one; draws follow them."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal

from jaxgen.errors import UserError
from jaxgen.families.vae.bounds import Drawn, bounds_of
from jaxgen.families.vae.dense import DenseDecoder, DenseEncoder
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.task import Vae
from jaxgen.families.vae.top_down import BottomUp, TopDown
from jaxgen.ops.distributions import normal_log_density
from jaxgen.ops.levels import to_unit
from jaxgen.types import Variables
from tests.given import pictures, values_of

KEY = jax.random.key(8)
TRUE_TO = 2e-4  # nats, of float32


class Gaussian(NamedTuple):
    """Test-only: pictures in [-1, 1] are a mean and noise."""

    mean: jax.Array

    def log_prob(self, level, levels):
        return normal_log_density(to_unit(level, levels)[..., None], self.mean[..., None], jnp.log(NOISE)[None])

    def levels_mean(self, levels):
        return (self.mean + 1) * (levels - 1) / 2

    def draw(self, key, levels):
        noisy = self.mean + NOISE * jax.random.normal(key, self.mean.shape)
        return (noisy + 1) * (levels - 1) / 2


NOISE = 0.4


@dataclass(frozen=True)
class GaussianPixels:
    def check(self, levels):
        pass

    def numbers(self, levels):
        return 1

    def of(self, x, levels):
        return Gaussian(x[..., 0])


def raw(std):
    """The number that the networks bound to this log standard deviation."""
    return 5 * np.arctanh(np.log(std) / 5)


# the columns are orthogonal, so that the posterior's covariance is diagonal
MIX, BIAS = np.array([[0.8, 0.3], [0.3, -0.8], [0.0, 0.0]]) * [0.9, 1.2], np.array([0.1, -0.2, 0.3])
SLOPES, STDS = np.array([0.7, -0.4]), np.array([0.5, 0.9])  # of the lower latent in the upper one, and its noise


def _prior(layers: int):
    """The covariance of the latents that pictures are made of."""
    return np.eye(2) if layers == 1 else np.diag(SLOPES**2 + STDS**2)


def moments(layers: int):
    """Mean and covariance of the pictures of `linear`, in [-1, 1]."""
    return BIAS, MIX @ _prior(layers) @ MIX.T + NOISE**2 * np.eye(3)


def linear(layers: int, off: float):
    """A linear-Gaussian VAE whose posterior is the true one for `off` 0, its variables, and log p(x) as a function."""
    mix, bias, slopes, stds = MIX, BIAS, SLOPES, STDS
    prior = _prior(layers)
    spread = np.linalg.inv(np.linalg.inv(prior) + mix.T @ mix / NOISE**2)
    gain = spread @ mix.T / NOISE**2
    wide = np.concatenate([gain.T, np.zeros((3, 2))], axis=1)
    mean = gain @ (-1 - bias) + off  # of a black picture: the encoder sees pixels from 0 to 1
    encoder = {"posterior_0": {"kernel": 2 * wide, "bias": np.r_[mean, raw(np.sqrt(np.diag(spread)))]}}
    decoder = {"likelihood": {"kernel": mix.T, "bias": bias}}
    if layers == 2:
        above = 1 / (1 + slopes**2 / stds**2)
        kernel = np.concatenate([np.diag(above * slopes / stds**2), np.zeros((2, 2))], axis=1)
        encoder["posterior_1"] = {"kernel": kernel, "bias": np.r_[off, off, raw(np.sqrt(above))]}
        kernel = np.concatenate([np.diag(slopes), np.zeros((2, 2))], axis=1)
        decoder["conditional_1"] = {"kernel": kernel, "bias": np.r_[0, 0, raw(stds)]}
    decoding = DenseDecoder((1,) * layers, 0, latent=(2,) * layers, likelihood=GaussianPixels())
    task = Vae(DenseEncoder((1,) * layers, 0), decoding, prior=None).sized(pictures((1, 3, 1), levels=256))
    params = jax.tree.map(jnp.float32, {"encoder": encoder, "decoder": decoder})
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, jax.eval_shape(task.init, KEY).params)
    exact = multivariate_normal(*moments(layers))
    return task, Variables(params), lambda image: exact.logpdf(np.asarray(to_unit(image, 256)).reshape(-1, 3))


@pytest.mark.parametrize("layers", [1, 2])
def test_the_bounds_of_a_linear_gaussian_model(layers):
    """ELBO <= IWAE-k <= log p(x), rising in k; all equal to the closed form where the posterior is the true one."""
    image = np.random.default_rng(0).integers(60, 200, (2048, 1, 3, 1)).astype(np.uint8)
    batch = {"row": jnp.arange(2048), "made": {"value": image}, "weight": jnp.ones(2048)}
    found = {}
    for off, samples in ((0.0, 5), (0.2, 1), (0.2, 5), (0.2, 70)):
        task, variables, exact = linear(layers, off)
        sums, _ = jax.jit(replace(task, importance_samples=samples).evaluate)(variables, batch, KEY)
        found[off, samples] = -float(sums["elbo_nats"].value), -float(sums["nats"].value)
    log_p = exact(image).mean()
    np.testing.assert_allclose(found[0.0, 5], log_p, atol=TRUE_TO)
    elbo, few, many = found[0.2, 70][0], found[0.2, 5][1], found[0.2, 70][1]
    assert elbo < few - 0.1 and few < many - 0.03 and -0.005 < log_p - many < 0.015  # 0.002 is one standard error
    np.testing.assert_allclose(found[0.2, 1][0], found[0.2, 1][1], atol=TRUE_TO)  # of one sample both are one


TINY = {
    "one layer": (Encoder(width=8, blocks=1), Decoder(width=8, blocks=1, latent=2), Prior(layers=2, width=4)),
    "two layers": (DenseEncoder((6, 5), 1), DenseDecoder((6, 5), 1, latent=(3, 2)), Prior(layers=2, width=4)),
    "one layer of convolutions": (BottomUp(6, 4, (1,)), TopDown(6, 4, (1,), latent=1, patch=1), None),
    "hierarchy": (BottomUp(6, 4, (1, 1)), TopDown(6, 4, (1, 1), latent=1, patch=1), None),
}


@pytest.mark.parametrize("kind", TINY)
def test_all_pictures_probabilities_sum_to_one_and_are_how_often_each_is_drawn(kind):
    task = Vae(*TINY[kind], importance_samples=1000).sized(pictures((2, 2, 1), levels=2))
    variables = jax.jit(task.init)(KEY)
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + 0.2 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    # posteriors and inner priors near the standard normal: no weight is huge
    calm = {"encoder", "posterior", "conditional_1"}
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0.3 * leaf if calm & {part.key for part in path} else leaf, jax.tree.unflatten(tree, moved)
    )
    variables = variables.replace(params=params)
    every = np.array(list(itertools.product(range(2), repeat=4)), np.uint8).reshape(16, 2, 2, 1)
    nats = jax.jit(task.log_prob)(variables, {"row": jnp.arange(16), "made": {"value": every}}, KEY)
    probability = np.exp(np.asarray(nats, np.float64))
    assert abs(probability.sum() - 1) < 0.05 and probability.max() > 1.2 / 16  # unbiased: E exp(bound) = p(x)
    drawn = jax.jit(task.sample)(variables, {"row": jnp.arange(4000)}, KEY)
    counts = np.bincount(np.asarray(values_of(drawn)).reshape(-1, 4) @ [8, 4, 2, 1], minlength=16)
    expected = probability / probability.sum() * 4000
    assert ((counts - expected) ** 2 / expected).sum() < 1.5 * chi2.isf(1e-4, 15)  # the expected are estimates, too


def test_samples_in_parts_give_the_bounds_of_all_at_once():
    """Whatever number of samples does not fill the loop's last turn."""
    rng = np.random.default_rng(1)
    nats, layers, means = rng.normal(size=(40, 3)), rng.normal(size=(2, 3, 40, 3)), rng.normal(size=(40, 3, 5))
    arrays = jax.tree.map(jnp.float32, Drawn(nats, layers[:, 0], layers[:, 1], layers[:, 2], means))

    def draw(numbers):
        return Drawn(*(jnp.take(a, numbers, axis=axis) for a, axis in zip(arrays, (0, 1, 1, 1, 0), strict=True)))

    for samples in (1, 16, 37):
        log_w = (nats + (layers[:, 1] - layers[:, 0]).sum(axis=0))[:samples]
        found = bounds_of(draw, samples, 3)
        np.testing.assert_allclose(found.importance, np.log(np.exp(log_w).mean(axis=0)), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.elbo, log_w.mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.means, means[:samples].mean(axis=0), rtol=1e-5, atol=1e-5)
    arrays = jax.tree.map(lambda a: a * 1e4, arrays)
    assert bool(jnp.isfinite(bounds_of(draw, 37, 3).importance).all())


def test_networks_that_do_not_fit_are_told_in_a_sentence():
    fitting = DenseEncoder((4,)), DenseDecoder((4,))
    for networks, match in (
        ((Encoder(), fitting[1], None), "let encoder be a DenseEncoder"),
        ((fitting[0], Decoder(), None), "and encoder no Encoder"),
        ((fitting[0], DenseDecoder((4, 4), latent=(2, 2)), None), "whose widths are as many"),
        ((fitting[0], TopDown(), None), "let encoder be a BottomUp"),
        ((BottomUp(), TopDown(), Prior()), "task.prior=none"),
        ((fitting[0], DenseDecoder((4,), latent=(1,)), Prior()), "prior.layers couples halves"),
    ):
        with pytest.raises(UserError, match=match):
            Vae(*networks)
    with pytest.raises(UserError, match="multiples of 4, and these are 6x6"):
        Vae(BottomUp(), TopDown(), None).sized(pictures((6, 6, 1), levels=2))
    with pytest.raises(UserError, match=r"for pictures of two levels, and these have 17"):
        Vae(*fitting, None).sized(pictures((8, 8, 1), levels=17))
    for make, match in (
        (lambda: DenseDecoder((4, 4)), "one of each"),
        (lambda: DenseEncoder(()), "give widths"),
        (lambda: TopDown(grid_blocks=(0,)), "1 or more of each grid"),
        (lambda: TopDown(latent=0), "decoder.latent is 0"),
    ):
        with pytest.raises(UserError, match=match):
            make()
