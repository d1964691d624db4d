"""Attention against loops over pairs, and what rotary positions promise."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.attention import attend as attend_whole
from jaxgen.ops.attention import attend_cached, causal_mask, rotate

B, T, S, H, D = 2, 5, 7, 3, 4


def arrays(seed=0):
    draw = np.random.default_rng(seed).standard_normal
    return tuple(draw((B, length, H, D), np.float32) for length in (T, S, S))


def by_loops(q, k, v, mask):
    """Each query's own weighted mean, in float64."""
    out = np.zeros((B, T, H, D))
    for b, t, h in np.ndindex(B, T, H):
        seen = [s for s in range(S) if mask[b, t, s]]
        weights = np.array([np.exp(np.dot(q[b, t, h], k[b, s, h]) / np.sqrt(D)) for s in seen])
        out[b, t, h] = sum(w * v[b, s, h] for w, s in zip(weights / weights.sum(), seen, strict=True))
    return out


def from_cache(q, k, v, mask=None):
    """`attend_cached`, of keys and values as `attend` takes them."""
    return attend_cached(q, k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3), mask)


@pytest.fixture(params=[attend_whole, from_cache])
def attend(request):
    return request.param


def test_attention_is_each_querys_weighted_mean(attend):
    q, k, v = arrays()
    everything = np.ones((B, T, S), bool)
    np.testing.assert_allclose(attend(q, k, v), by_loops(q, k, v, everything), atol=1e-5)
    mask = np.random.default_rng(1).random((B, T, S)) < 0.5
    mask[..., 0] = True
    np.testing.assert_allclose(attend(q, k, v, mask[:, None]), by_loops(q, k, v, mask), atol=1e-5)


def test_keys_may_be_read_in_any_order(attend):
    q, k, v = arrays()
    order = np.random.default_rng(2).permutation(S)
    np.testing.assert_allclose(attend(q, k[:, order], v[:, order]), attend(q, k, v), atol=1e-6)


def test_what_is_masked_has_no_weight_and_no_gradient(attend):
    q, k, v = (jnp.asarray(a, jnp.float32) for a in arrays())
    mask = jnp.arange(S)[None, None, None] < 4
    whole = attend(q, k[:, :4], v[:, :4])
    np.testing.assert_allclose(attend(q, k, v, mask), whole, atol=1e-6)
    gradients = jax.grad(lambda k, v: attend(q, k, v, mask).sum(), (0, 1))(k, v)
    assert all((g[:, 4:] == 0).all() and np.abs(g[:, :4]).max() > 1e-3 for g in gradients)


def test_a_query_that_sees_nothing_stays_finite(attend):
    q, k, v = arrays()
    blind = attend(q, k, v, np.zeros((1, 1, T, S), bool))
    np.testing.assert_allclose(blind, np.broadcast_to(v.mean(1, keepdims=True), (B, T, H, D)), atol=1e-6)


def test_the_causal_mask_shows_what_is_not_later():
    assert np.array_equal(causal_mask(jnp.arange(4)[None], 4)[0, 0], np.tri(4))
    later = causal_mask(jnp.array([[0, 1], [3, 4]]), 5)
    assert later.shape == (2, 1, 2, 5) and later.sum(-1)[:, 0].tolist() == [[1, 2], [4, 5]]


def test_rotation_is_a_product_with_a_unit_complex_number():
    x, positions = arrays()[0], np.array([[0, 1, 2, 3, 4], [5, 9, 2, 0, 100]])
    angle = positions[:, :, None, None] * 10_000.0 ** (-2 * np.arange(D // 2) / D)
    turned = (x[..., : D // 2] + 1j * x[..., D // 2 :]) * np.exp(1j * angle)
    np.testing.assert_allclose(rotate(x, positions), np.concatenate([turned.real, turned.imag], -1), atol=1e-4)


def test_rotated_products_know_the_distance_alone():
    q, k = (jax.random.normal(key, (1, 1, H, D)) for key in jax.random.split(jax.random.key(0)))

    def product(m, n):
        return jnp.sum(rotate(q, jnp.array([[m]])) * rotate(k, jnp.array([[n]])), -1)

    np.testing.assert_allclose(product(3, 1), product(45, 43), atol=1e-5)
    np.testing.assert_allclose(product(9, 9), jnp.sum(q * k, -1), atol=1e-5)
    assert np.abs(product(3, 1) - product(1, 3)).max() > 1e-3
