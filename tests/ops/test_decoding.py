"""Beam search against an enumeration, greedy decoding and an independent search; drawing up to an end."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.ops.decoding import beam_search, draw_until

V, END, START, T = 4, 3, 4, 4  # three letters and an end; strings of up to T tokens, their end counted


def table(seed: int, rows: int) -> np.ndarray:
    """[B, T, V+1, V+1, V] logits of what follows two tokens at a place: no two strings are alike."""
    return np.random.default_rng(seed).normal(size=(rows, T, V + 1, V + 1, V)).astype(np.float32) * 2


def model(logits: jax.Array, beams: int):
    """(step, carry): the carry holds the row, the place, and the token before."""

    def step(token, carry):
        row, place, before = carry["row"], carry["place"], carry["before"]
        now = logits[row, jnp.minimum(place, T - 1), before, token]
        return now, {"row": row, "place": place + 1, "before": token}

    count = len(logits) * beams
    row = jnp.repeat(jnp.arange(len(logits)), beams)
    return step, {"row": row, "place": jnp.zeros(count, jnp.int32), "before": jnp.full(count, START)}


def log_prob_of(logits: np.ndarray, string: tuple[int, ...]) -> float:
    """Of one row's string, which ends in END; at the last place an end is certain."""
    before, token, total = START, START, 0.0
    for place, following in enumerate(string):
        now = logits[place, before, token].astype(np.float64)
        total += 0.0 if place == T - 1 else now[following] - np.log(np.exp(now).sum())
        before, token = token, following
    return total


def strings() -> list[tuple[int, ...]]:
    return [(*letters, END) for length in range(T) for letters in itertools.product(range(V - 1), repeat=length)]


@functools.cache
def searching(width: int, rows: int):
    def search(logits, penalty):
        step, carry = model(logits, width)
        return beam_search(step, lambda now, room: carry if now is None else now, rows, width, START, END, T, penalty)

    return jax.jit(search)


def search(logits: np.ndarray, width: int, penalty: float):
    return jax.device_get(searching(width, len(logits))(logits, penalty))


def string_of(tokens: np.ndarray) -> tuple[int, ...]:
    tokens = tokens.tolist()
    return tuple(tokens[: tokens.index(END) + 1])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), penalty=st.floats(0.0, 1.5))
def test_a_beam_of_all_strings_finds_them_in_the_order_of_their_scores(seed, penalty):
    logits, every = table(seed, 2), strings()
    tokens, log_prob, score = search(logits, len(every), penalty)
    for row in range(2):
        exact = {string: log_prob_of(logits[row], string) for string in every}
        best = sorted(every, key=lambda string: -exact[string] / len(string) ** penalty)
        found = [string_of(one) for one in tokens[row]]
        assert sorted(found) == sorted(every)
        scores = [exact[string] / len(string) ** penalty for string in found]
        np.testing.assert_allclose(score[row], scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(log_prob[row], [exact[string] for string in found], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score[row][0], exact[best[0]] / len(best[0]) ** penalty, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), penalty=st.floats(0.0, 1.5))
def test_width_one_is_greedy(seed, penalty):
    logits = table(seed, 3)
    tokens, log_prob, _ = search(logits, 1, penalty)
    step, carry = model(jnp.asarray(logits), 1)
    keys = jax.random.split(jax.random.key(seed), 3)
    greedy, _ = draw_until(step, carry, jnp.full(3, START), END, T, keys, temperature=0.0)
    assert np.array_equal(tokens[:, 0], greedy)
    exact = [log_prob_of(logits[row], string_of(tokens[row, 0])) for row in range(3)]
    np.testing.assert_allclose(log_prob[:, 0], exact, rtol=1e-4, atol=1e-5)


def reference(logits: np.ndarray, width: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """One row's beam search written plainly, with lists."""
    alive, done = [(0.0, ())], []
    for place in range(T):
        grown = []
        for total, string in alive:
            before, token = ((START, START, *string)[-2:]) if string else (START, START)
            now = logits[place, before, token].astype(np.float64)
            log_probs = now - np.log(np.exp(now).sum())
            for following in range(V):
                if place < T - 1 or following == END:
                    gain = 0.0 if place == T - 1 else log_probs[following]
                    grown.append((total + gain, (*string, following)))
        grown.sort(key=lambda one: -one[0])
        done += [
            (total / len(string) ** penalty, string) for total, string in grown[:width] if string[-1] == END
        ]
        done = sorted(done, key=lambda one: -one[0])[:width]
        alive = [one for one in grown[: 2 * width] if one[1][-1] != END][:width]
        if len(done) == width and all(total / (place + 1) ** penalty <= done[-1][0] for total, _ in alive):
            break
    return done


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), width=st.sampled_from([2, 3, 5]), penalty=st.floats(0.0, 1.5))
def test_it_finds_what_a_plain_search_with_lists_finds(seed, width, penalty):
    logits = table(seed, 2)
    tokens, _, score = search(logits, width, penalty)
    for row in range(2):
        wanted = reference(logits[row], width, penalty)
        found = [string_of(one) for one, value in zip(tokens[row], score[row], strict=True) if np.isfinite(value)]
        assert found == [string for _, string in wanted]
        np.testing.assert_allclose(score[row][: len(wanted)], [value for value, _ in wanted], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_unlikely_short_strings_do_not_end_the_search_before_the_likeliest_is_whole(width, penalty):
    """As under label smoothing: every place has a sure token, and an end that is the next likely."""
    logits = np.zeros((1, T, V + 1, V + 1, V), np.float32)
    logits[..., END] = 1.0
    for place, letter in enumerate((0, 1, 2)):
        logits[:, place, :, :, letter] = 4.0
    tokens, log_prob, _ = search(logits, width, penalty)
    assert string_of(tokens[0, 0]) == (0, 1, 2, END)
    assert log_prob[0, 0] == pytest.approx(log_prob_of(logits[0], (0, 1, 2, END)), abs=1e-5)


def test_a_row_comes_out_the_same_whatever_stands_beside_it():
    logits = table(5, 6)
    whole = search(logits, 3, 1.0)
    for row in range(6):
        alone = search(logits[row : row + 1], 3, 1.0)
        for many, one in zip(whole, alone, strict=True):
            np.testing.assert_allclose(many[row], one[0], rtol=1e-6)


def test_ten_length_penalties_share_one_compilation():
    program = searching(2, 2)
    for penalty in np.linspace(0, 2, 10):
        program(table(0, 2), float(penalty))
    assert program._cache_size() == 1


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_strings_are_drawn_as_often_as_they_are_likely(temperature):
    logits, count = table(3, 1), 20_000
    many = jnp.broadcast_to(jnp.asarray(logits), (count, *logits.shape[1:]))
    step, carry = model(many, 1)
    keys = jax.random.split(jax.random.key(0), count)
    tokens, log_prob = jax.jit(lambda keys: draw_until(step, carry, jnp.full(count, START), END, T, keys, temperature))(
        keys
    )
    drawn = [string_of(one) for one in np.asarray(tokens)]
    for string in strings():
        share = np.exp(log_prob_of(logits[0] / temperature, string))
        found = np.mean([one == string for one in drawn])
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / count) + 1e-3, string
    exact = [log_prob_of(logits[0] / temperature, string) for string in drawn[:50]]
    np.testing.assert_allclose(np.asarray(log_prob).sum(axis=1)[:50], exact, rtol=1e-4, atol=1e-5)
