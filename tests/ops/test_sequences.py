"""Tokens are drawn from exactly the distribution that is told, and generation is the model's own chain."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
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


@settings(max_examples=60)
@given(
    st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.floats(0.02, 0.99),
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(logits, temperature, top_p):
    """Of all sets of tokens; of those of one size the likeliest."""
    weights = np.exp(np.array(logits) / temperature)
    probabilities = weights / weights.sum()
    sets = [list(some) for size in range(1, 5) for some in itertools.combinations(range(4), size)]
    sums = [probabilities[some].sum() for some in sets]
    assume(np.abs(np.subtract(sums, top_p)).min() > 1e-5)
    assume(np.abs(np.subtract.outer(probabilities, probabilities) + np.eye(4)).min() > 1e-5)
    enough = [some for some, total in zip(sets, sums, strict=True) if total >= top_p]
    best = min(enough, key=lambda some: (len(some), -probabilities[some].sum()))
    expected = np.zeros(4)
    expected[best] = probabilities[best] / probabilities[best].sum()
    np.testing.assert_allclose(np.exp(tempered(jnp.array(logits), temperature, None, top_p)), expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
def test_top_p_of_one_changes_nothing(temperature):
    for logits in (LOGITS, jnp.array([0.0, -20.0, -40.0, 1.0]), jnp.array([1.0, 5.0, 5.0])):
        plain = tempered(logits, temperature, None)
        for top_p in (None, 1.0, jnp.float32(1.0)):
            np.testing.assert_allclose(tempered(logits, temperature, None, top_p), plain, atol=1e-6)


def test_top_p_is_of_what_top_k_and_temperature_leave():
    kept = np.exp(tempered(LOGITS, 1.0, 2, 0.6))  # of the two likeliest, each about half
    np.testing.assert_allclose(kept, np.array([0, 0, 1, np.exp(-0.1), 0]) / (1 + np.exp(-0.1)), rtol=1e-5)
    assert np.exp(tempered(LOGITS, 1.0, 2, 0.5)).tolist() == [0, 0, 1, 0, 0]
    assert np.exp(tempered(LOGITS, 0.0, None, 0.9)).tolist() == [0, 0, 1, 0, 0]
    cold = jax.jit(lambda temperature, top_p: tempered(LOGITS, temperature, None, top_p))
    np.testing.assert_allclose(np.exp(cold(0.0, 0.9)), [0, 0, 1, 0, 0])
    np.testing.assert_allclose(cold(1.5, 0.8), tempered(LOGITS, 1.5, None, 0.8), rtol=1e-5)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, None), (1.0, 5, None), (0.5, None, None), (2.0, 3, None), (0.0, None, None), (2.0, 4, 0.9)],
)
def test_tokens_fall_as_told(temperature, top_k, top_p):
    keys = row_keys(jax.random.key(1), jnp.arange(4000))
    tokens, log_prob = draw_token(keys, jnp.tile(LOGITS, (4000, 1)), temperature, top_k, top_p)
    probabilities = np.exp(tempered(LOGITS, temperature, top_k, top_p))
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


def test_what_is_known_is_kept_and_the_rest_is_drawn_after_it():
    table = jnp.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4]])
    keys, first = row_keys(jax.random.key(0), jnp.arange(3000)), jnp.zeros(3000, jnp.int32)
    wanted = jax.random.randint(jax.random.key(1), (3000, 3), 0, 3)
    chain = lambda where: generate(markov(table), jnp.zeros(3000), first, 3, keys, known=(wanted, where))  # noqa: E731
    whole, log_prob = chain(jnp.ones((3000, 3), bool))
    assert np.array_equal(whole, wanted) and not np.any(log_prob)
    tokens, log_prob = chain(jnp.tile(jnp.array([False, True, False]), (3000, 1)))
    assert np.array_equal(tokens[:, 1], wanted[:, 1]) and not np.any(log_prob[:, 1])
    np.testing.assert_allclose(log_prob[:, 2], jnp.log(table)[tokens[:, 1], tokens[:, 2]], rtol=1e-5)
    assert even(np.bincount(tokens[:, 0], minlength=3), table[0])
    for before in range(3):
        assert even(np.bincount(np.asarray(tokens[:, 2])[tokens[:, 1] == before], minlength=3), table[before])


def test_a_sequence_that_goes_on_from_its_middle_comes_out_the_same():
    table, keys = jnp.full((3, 3), 1 / 3), row_keys(jax.random.key(0), jnp.arange(6))
    whole, _ = generate(markov(table), jnp.zeros(6), jnp.zeros(6, jnp.int32), 9, keys)
    rest, _ = generate(markov(table), jnp.zeros(6), whole[:, 3], 5, keys, place=4)
    assert np.array_equal(rest, whole[:, 4:])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=9, max_size=9), st.integers(1, 4))
def test_places_and_looks_back_stay_within_a_segment(segment, back):
    places = [next(n for n in range(t + 1) if t == n or segment[t - n - 1] != segment[t]) for t in range(len(segment))]
    assert place_in_segment(np.array([segment])).tolist() == [places]
    looked_at = within_segment(np.arange(9)[None], np.array([segment]), back, -1)
    assert looked_at.tolist() == [[t if places[t] >= back - 1 else -1 for t in range(len(segment))]]
