"""The learned prior is a density: there and back, its determinant, and its mass; dropout is drawn by row."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.ops.distributions import normal_log_density
from tests.given import cut, seen

KEY = jax.random.key(1)
CONDITION = seen(jnp.arange(6) % 3, 3)


def lively(module, *given, **how):
    """The module's parameters with noise on every leaf: couplings and branches start at zero."""
    params = module.init(KEY, *given, **how)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return {"params": jax.tree.unflatten(tree, moved)}


@pytest.mark.parametrize("latent, layers", [(1, 0), (2, 3), (5, 3)])
def test_the_prior_maps_there_and_back_and_knows_its_determinant(latent, layers):
    prior = Prior(layers=layers, width=8, latent=latent)
    z = jax.random.normal(KEY, (6, latent))
    variables = lively(prior, z, CONDITION, method="log_prob")
    u, log_determinant = prior.apply(variables, z, CONDITION, method="to_base")
    np.testing.assert_allclose(prior.apply(variables, u, CONDITION, method="from_base"), z, atol=1e-4)
    assert float(jnp.abs(u - z).max()) > 0.1

    def alone(one, own):
        return prior.apply(variables, one[None], cut(own, None), method="to_base")[0][0]

    jacobian = jax.vmap(jax.jacfwd(alone))(z, CONDITION)
    np.testing.assert_allclose(jnp.linalg.slogdet(jacobian)[1], log_determinant, atol=1e-4)


def test_an_untrained_prior_is_the_standard_normal_distribution():
    prior = Prior(layers=2, width=8, latent=4)
    z = jax.random.normal(KEY, (6, 4))
    variables = prior.init(KEY, z, CONDITION, method="log_prob")
    exact = normal_log_density(z, jnp.zeros_like(z), jnp.zeros_like(z))
    np.testing.assert_allclose(prior.apply(variables, z, CONDITION, method="log_prob"), exact, rtol=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 5, 6])
def test_the_prior_stretches_within_bounds_whatever_its_parameters(layers):
    """A number by e^1.5 in all couplings together and by e^5 in the class's affine map, at the most."""
    prior = Prior(layers=layers, width=8, latent=4)
    z = jnp.abs(jax.random.normal(KEY, (6, 4)))
    variables = lively(prior, z, CONDITION, method="log_prob")["params"]
    large = jax.tree.map(lambda leaf: 100 * jnp.abs(leaf), variables)  # every log stretch is positive
    couplings = large | {"affine": jax.tree.map(jnp.zeros_like, large["affine"])}
    moved = 2 if layers == 1 else 4  # one coupling moves half of the numbers
    for params, most in ((couplings, moved * 1.5), (large, moved * 1.5 + 4 * 5.0)):
        _, log_determinant = prior.apply({"params": params}, z, CONDITION, method="to_base")
        assert 0.6 * most < float(-log_determinant.max()) and float(-log_determinant.min()) < most * (1 + 1e-6)


def test_dropout_is_drawn_by_row_and_left_out_without_keys():
    z, keys = jax.random.normal(KEY, (6, 4)), jax.random.split(KEY, 6)
    decoder = Decoder(width=16, blocks=2, dropout=0.5, latent=4, image=(2, 2, 1), levels=17)
    variables = lively(decoder, z, CONDITION)
    whole, part = (
        decoder.apply(variables, z[rows], cut(CONDITION, rows), keys[rows]).mean for rows in (slice(0, 6), slice(2, 4))
    )
    np.testing.assert_allclose(whole[2:4], part, rtol=1e-4, atol=1e-4)
    calm = decoder.apply(variables, z, CONDITION).mean
    assert bool(jnp.any(whole != calm))
    np.testing.assert_array_equal(calm, decoder.clone(dropout=0.0).apply(variables, z, CONDITION, keys).mean)


def test_posteriors_stay_within_bounds():
    encoder = Encoder(width=16, blocks=1, latent=3)
    picture = jnp.ones((6, 2, 2, 1))
    variables = jax.tree.map(lambda leaf: 100 * leaf, lively(encoder, picture, CONDITION))
    mean, log_std = encoder.apply(variables, picture, CONDITION)
    assert mean.shape == log_std.shape == (6, 3) and float(jnp.abs(log_std).max()) <= 5.0
