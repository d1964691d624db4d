"""Self-attention is blind to order unless told, and goes on from its cache as if it had read all at once."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn.key_value_cache import empty_cache
from jaxgen.nn.multi_head_attention import SelfAttention

B, T, D, H = 3, 6, 8, 2
X = jax.random.normal(jax.random.key(0), (B, T, D))
DECODER = SelfAttention(H, causal=True, rotary=True)


def parameters(layer):
    return layer.init(jax.random.key(1), X)


def test_without_positions_a_permutation_goes_straight_through():
    layer = SelfAttention(H)
    variables, order = parameters(layer), jnp.array([3, 0, 5, 1, 4, 2])
    there, cache = layer.apply(variables, X[:, order])
    assert cache is None
    np.testing.assert_allclose(there, layer.apply(variables, X)[0][:, order], atol=1e-5)
    turned = SelfAttention(H, rotary=True)
    assert np.abs(turned.apply(variables, X[:, order])[0] - turned.apply(variables, X)[0][:, order]).max() > 1e-2


def test_it_is_the_projections_around_single_heads():
    layer = SelfAttention(H)
    params = jax.tree.map(np.asarray, parameters(layer)["params"])
    x = np.asarray(X[0])
    q, k, v = np.split(x @ params["query_key_value"]["kernel"] + params["query_key_value"]["bias"], 3, axis=1)
    heads = []
    for cut in np.split(np.arange(D), H):
        weights = np.exp(q[:, cut] @ k[:, cut].T / np.sqrt(D / H))
        heads.append(weights / weights.sum(1, keepdims=True) @ v[:, cut])
    expected = np.concatenate(heads, axis=1) @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(layer.apply({"params": params}, X)[0][0], expected, atol=1e-5)


@pytest.mark.parametrize("rotary", [False, True])
def test_a_causal_layer_sees_no_later_token(rotary):
    layer = SelfAttention(H, causal=True, rotary=rotary)
    variables = parameters(layer)
    before, after = (layer.apply(variables, x)[0] for x in (X, X.at[:, 3].add(1.0)))
    assert np.array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before[:, 3:] - after[:, 3:]).max((0, 2)) > 1e-4).all()


@pytest.mark.parametrize("cut", [1, 4])
def test_two_parts_through_the_cache_are_the_whole(cut):
    variables = parameters(DECODER)
    whole, _ = DECODER.apply(variables, X)
    first, cache = DECODER.apply(variables, X[:, :cut], empty_cache(B, T + 2, H, D), jnp.zeros(B, jnp.int32))
    second, cache = DECODER.apply(variables, X[:, cut:], cache, jnp.full(B, cut))
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, atol=1e-5)
    assert cache["key"].shape == (B, H, T + 2, D // H) and (cache["key"][:, :, T:] == 0).all()


def test_each_row_goes_on_from_its_own_position():
    variables = parameters(DECODER)
    whole, _ = DECODER.apply(variables, X)
    _, cache = DECODER.apply(variables, X, empty_cache(B, T, H, D), jnp.zeros(B, jnp.int32))
    position = jnp.array([2, 5, 0])
    step, _ = DECODER.apply(variables, X[jnp.arange(B), position][:, None], cache, position)
    np.testing.assert_allclose(step[:, 0], whole[jnp.arange(B), position], atol=1e-5)
