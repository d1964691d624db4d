"""Tokens are drawn from exactly the distribution that is told, and generation is the model's own chain."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from jaxgen.ops.rows import row_keys
from jaxgen.ops.sequences import draw_token, generate, place_in_segment, tempered, token_log_prob, within_segment

LOGITS = jnp.array([0.3, -1.2, 2.0, 1.9, -4.0])


def even(counts, probabilities):
    """Whether the counts fit the probabilities, at one false alarm in 10,000."""
    counts, expected = np.asarray(counts), np.asarray(probabilities) * np.sum(counts)
    possible = expected > 0
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    return counts[~possible].sum() == 0 and statistic < chi2.isf(1e-4, max(possible.sum() - 1, 1))


def test_token_log_prob_is_the_softmax():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 5)) * 4
    tokens = jnp.array([[0, 4, 2], [1, 1, 3]])
    expected = np.log(np.take_along_axis(np.asarray(jax.nn.softmax(logits)), np.asarray(tokens)[..., None], -1)[..., 0])
    np.testing.assert_allclose(token_log_prob(logits, tokens), expected, atol=1e-5)


@settings(max_examples=40)
@given(st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4), st.floats(0.05, 20))
def test_keeping_all_is_keeping_the_softmax(logits, temperature):
    logits = jnp.array(logits, jnp.float32)
    plain = jax.nn.log_softmax(logits / temperature)
    np.testing.assert_allclose(tempered(logits, temperature, len(logits)), plain, atol=1e-3, rtol=1e-5)
    np.testing.assert_allclose(tempered(logits, temperature, None), plain, atol=1e-3, rtol=1e-5)


def test_top_k_keeps_k_in_their_old_proportions():
    kept = np.exp(tempered(LOGITS, 1.0, 2))
    np.testing.assert_allclose(kept, np.array([0, 0, 1, np.exp(-0.1), 0]) / (1 + np.exp(-0.1)), rtol=1e-5)
    assert (np.exp(tempered(jnp.zeros(4), 1.0, 2)) > 0).tolist() == [True, True, False, False]
    for wrong in (0, 6):
        with pytest.raises(ValueError, match="top_k"):
            tempered(LOGITS, 1.0, wrong)


def test_temperature_zero_is_the_limit_of_cold():
    assert np.exp(tempered(LOGITS, 0.0, None)).tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_allclose(np.exp(tempered(LOGITS, 1e-3, None)), [0, 0, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(np.exp(tempered(jnp.array([1.0, 5.0, 5.0]), 0.0, None)), [0, 0.5, 0.5])


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (1.0, 5), (0.5, None), (2.0, 3), (0.0, None)])
def test_tokens_fall_as_told(temperature, top_k):
    keys = row_keys(jax.random.key(1), jnp.arange(4000))
    tokens, log_prob = draw_token(keys, jnp.tile(LOGITS, (4000, 1)), temperature, top_k)
    probabilities = np.exp(tempered(LOGITS, temperature, top_k))
    assert even(np.bincount(tokens, minlength=5), probabilities)
    np.testing.assert_allclose(np.exp(log_prob), probabilities[tokens], rtol=1e-4)


def markov(table):
    """A step whose state counts the tokens it has read: the chain of `table` [V, V]."""
    return lambda token, count: (jnp.log(table)[token], count + 1)


def test_generation_is_the_chain_and_tells_its_probability():
    table = jnp.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4]])
    keys, first = row_keys(jax.random.key(0), jnp.arange(3000)), jnp.zeros(3000, jnp.int32)
    tokens, log_prob = jax.jit(lambda k: generate(markov(table), jnp.zeros(3000), first, 2, k))(keys)
    pairs = np.bincount(np.asarray(tokens[:, 0] * 3 + tokens[:, 1]), minlength=9).reshape(3, 3)
    chain = np.asarray(table[0][:, None] * table)
    assert even(pairs.ravel(), chain.ravel())
    np.testing.assert_allclose(log_prob.sum(1), np.log(chain)[tokens[:, 0], tokens[:, 1]], atol=1e-5)


def test_a_row_comes_out_the_same_in_any_batch():
    table, keys = jnp.full((3, 3), 1 / 3), row_keys(jax.random.key(0), jnp.arange(6))
    whole, _ = generate(markov(table), jnp.zeros(6), jnp.zeros(6, jnp.int32), 9, keys)
    part, _ = generate(markov(table), jnp.zeros(2), jnp.zeros(2, jnp.int32), 9, keys[2:4])
    assert np.array_equal(whole[2:4], part)
    assert len({tuple(row) for row in whole.tolist()}) > 1
    shorter, _ = generate(markov(table), jnp.zeros(6), jnp.zeros(6, jnp.int32), 4, keys)
    assert np.array_equal(whole[:, :4], shorter)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=9, max_size=9), st.integers(1, 4))
def test_places_and_looks_back_stay_within_a_segment(segment, back):
    places = [next(n for n in range(t + 1) if t == n or segment[t - n - 1] != segment[t]) for t in range(len(segment))]
    assert place_in_segment(np.array([segment])).tolist() == [places]
    looked_at = within_segment(np.arange(9)[None], np.array([segment]), back, -1)
    assert looked_at.tolist() == [[t if places[t] >= back - 1 else -1 for t in range(len(segment))]]
