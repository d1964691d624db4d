"""CTC against an enumeration of all paths: collapsing, greedy decoding, prefix beam search with and without a model."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.ops.ctc import LanguageModel, collapse, fits, greedy, prefix_beam_search

V, BLANK, S, PAD = 4, 3, 5, -1  # three letters and a blank, five frames
EVERY = 160  # more than there are strings
START = END = 3  # of the language model, which has no blank

seeds = st.integers(0, 2**31)


def frames(seed: int, rows: int = 2, scale: float = 2.0) -> np.ndarray:
    """[B, S, V] nats."""
    logits = np.random.default_rng(seed).normal(size=(rows, S, V)) * scale
    return np.array(jax.nn.log_softmax(jnp.asarray(logits, jnp.float32)))


def first(*counts: int) -> np.ndarray:
    """[B, S] bool: so many frames of each row."""
    return np.arange(S) < np.array(counts)[:, None]


def string_of(path) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def enumerated(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Nats of every string of one row [S, V], summed over its paths."""
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(V), repeat=len(log_probs)):
        total = sum(log_probs[frame, token] for frame, token in enumerate(path))
        sums[string_of(path)] = np.logaddexp(sums.get(string_of(path), -np.inf), np.float64(total))
    return sums


def model(seed: int, rows: int) -> np.ndarray:
    """[B, V, V, V] logits of what follows two tokens, the last one being start and end: each row's own model."""
    return np.random.default_rng(seed).normal(size=(rows, V, V, V)).astype(np.float32) * 2


def model_log_prob(logits: np.ndarray, string: tuple[int, ...], ended: bool) -> float:
    nats = np.array(jax.nn.log_softmax(logits), np.float64)
    read = (START, START, *string, END)[: len(string) + 2 + ended]
    return float(sum(nats[three] for three in zip(read, read[1:], read[2:], strict=False)))


@functools.cache
def searching(width: int, length: int = S, end: int | None = None):
    def search(log_probs, mask, logits, weight, bonus):
        lm = None
        if logits is not None:
            row = jnp.repeat(jnp.arange(len(logits)), width)
            carry = {"row": row, "before": jnp.full_like(row, START)}

            def step(token, carry):
                return logits[carry["row"], carry["before"], token], {"row": carry["row"], "before": token}

            lm = LanguageModel(step, carry, START, weight, end)
        return prefix_beam_search(log_probs, mask, width, BLANK, length, PAD, lm=lm, token_bonus=bonus)

    return jax.jit(search)


def search(log_probs, mask, width, length=S, logits=None, weight=0.0, bonus=0.0, end=None):
    return jax.device_get(searching(width, length, end)(log_probs, mask, logits, weight, bonus))


def found(result, row: int) -> dict[tuple[int, ...], tuple[float, float]]:
    """{string: (nats, score)} of the places that hold one, in their order; no string twice."""
    tokens, log_prob, score = (array[row] for array in result)
    live = np.isfinite(score)
    strings = [tuple(one[one != PAD].tolist()) for one in tokens[live]]
    assert len(set(strings)) == len(strings)
    return dict(zip(strings, zip(log_prob[live].tolist(), score[live].tolist(), strict=True), strict=True))


@settings(deadline=None, max_examples=20)
@given(seed=seeds, count=st.integers(0, S))
def test_a_beam_of_all_strings_sums_each_ones_paths_in_the_order_of_their_probability(seed, count):
    log_probs, mask = frames(seed), first(S, count)
    result = search(log_probs, mask, EVERY)
    for row in range(2):
        exact = enumerated(log_probs[row][mask[row]])
        strings = found(result, row)
        assert set(strings) == set(exact)
        np.testing.assert_allclose([v for v, _ in strings.values()], [exact[s] for s in strings], rtol=1e-5, atol=1e-5)
        assert next(iter(strings)) == max(exact, key=exact.get)
        assert (np.diff(result[2][row][: len(exact)]) <= 0).all()


def test_probabilities_of_all_strings_sum_to_one_and_are_optaxs():
    log_probs, mask = frames(3, rows=1), first(S)
    tokens, log_prob, score = (array[0] for array in search(log_probs, mask, EVERY))
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-5)
    live = np.isfinite(score)
    many = np.repeat(log_probs, live.sum(), axis=0)
    short = tokens[live] == PAD
    loss = optax.ctc_loss(many, np.zeros((len(many), S)), np.where(short, 0, tokens[live]), short, blank_id=BLANK)
    np.testing.assert_allclose(log_prob[live], -loss, rtol=1e-4, atol=1e-4)


def reference(log_probs: np.ndarray, width: int, length: int = S) -> dict[tuple[int, ...], float]:
    """One row's prefix beam search written plainly, with dictionaries."""
    beam = {(): (0.0, -np.inf)}
    for now in log_probs.astype(np.float64):
        grown: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(string, blank, token, grown=grown):
            before = grown.get(string, (-np.inf, -np.inf))
            grown[string] = np.logaddexp(before[0], blank), np.logaddexp(before[1], token)

        for string, (blank, token) in beam.items():
            both = np.logaddexp(blank, token)
            add(string, both + now[BLANK], token + now[string[-1]] if string else -np.inf)
            for letter in range(V - 1):
                if len(string) < length:
                    add((*string, letter), -np.inf, (blank if (letter,) == string[-1:] else both) + now[letter])
        best = sorted(grown, key=lambda string: -np.logaddexp(*grown[string]))[:width]
        beam = {string: grown[string] for string in best}
    return {string: np.logaddexp(*masses) for string, masses in beam.items()}


@settings(deadline=None, max_examples=40)
@given(seed=seeds, width=st.sampled_from([1, 2, 4, 7]), length=st.sampled_from([2, S]), count=st.integers(1, S))
def test_a_narrow_beam_finds_what_a_plain_search_with_dictionaries_finds(seed, width, length, count):
    log_probs, mask = frames(seed, scale=1.0), first(S, count)
    result = search(log_probs, mask, width, length)
    for row in range(2):
        wanted, strings = reference(log_probs[row][mask[row]], width, length), found(result, row)
        assert list(strings) == list(wanted)
        np.testing.assert_allclose([v for v, _ in strings.values()], list(wanted.values()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("end", [None, END])
@settings(deadline=None, max_examples=15)
@given(seed=seeds, weight=st.floats(0.1, 2.0), bonus=st.floats(-1.0, 2.0))
def test_a_language_model_judges_whole_strings_as_by_hand(end, seed, weight, bonus):
    log_probs, mask, logits = frames(seed), first(S, 3), model(seed + 1, 2)
    result = search(log_probs, mask, EVERY, S, logits, weight, bonus, end)
    for row in range(2):
        exact, strings = enumerated(log_probs[row][mask[row]]), found(result, row)
        assert set(strings) == set(exact)
        for string, (log_prob, score) in strings.items():
            judged = model_log_prob(logits[row], string, end is not None)
            wanted = exact[string] + weight * judged + bonus * len(string)
            np.testing.assert_allclose((log_prob, score), (exact[string], wanted), rtol=1e-5, atol=1e-4)
        scores = [score for _, score in strings.values()]
        assert scores == sorted(scores, reverse=True)


@settings(deadline=None, max_examples=10)
@given(seed=seeds)
def test_a_weight_of_zero_is_no_language_model_even_one_that_forbids(seed):
    log_probs, mask, logits = frames(seed), first(S, 4), model(seed + 1, 2)
    logits[..., 1] = -np.inf
    without, silent = search(log_probs, mask, 4), search(log_probs, mask, 4, S, logits, 0.0, 0.0, END)
    for one, other in zip(without, silent, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not any(1 in string for string in found(search(log_probs, mask, 4, S, logits, 1.0), 0))


def test_weights_share_one_compilation():
    program, logits = searching(4, S, END), model(0, 2)
    for weight in np.linspace(0.0, 1.0, 5):
        program(frames(0), first(S, 3), logits, float(weight), float(1 - weight))
    assert program._cache_size() == 1


@pytest.mark.parametrize("judged", [False, True])
def test_a_row_comes_out_the_same_whatever_stands_beside_it_and_however_it_is_padded(judged):
    log_probs, mask, logits = frames(5, rows=6), first(0, 1, 2, 3, 4, 5), model(5, 6)
    whole = search(log_probs, mask, 3, S, logits if judged else None, 0.7, 0.3)
    log_probs[~mask] = 7.0  # what stands there is not looked at
    for row in range(6):
        alone = search(log_probs[[row]], mask[[row]], 3, S, logits[[row]] if judged else None, 0.7, 0.3)
        for many, one in zip(whole, alone, strict=True):
            np.testing.assert_allclose(many[row], one[0], rtol=1e-6)


def test_what_is_impossible_is_never_found():
    path = np.array([[0, 0, BLANK, 0, 1]])
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(V, dtype=np.float32)[path])
    assert found(search(certain, first(S), 4), 0) == {(0, 0, 1): (0.0, 0.0)}


@settings(deadline=None, max_examples=20)
@given(seed=seeds, count=st.integers(0, S))
def test_greedy_is_the_likeliest_path(seed, count):
    log_probs, mask = frames(seed), first(S, count)
    tokens, log_prob = jax.device_get(greedy(log_probs, mask, BLANK, S, PAD))
    for row in range(2):
        own = log_probs[row][mask[row]]
        paths = itertools.product(range(V), repeat=len(own))
        best = max(paths, key=lambda path, own=own: sum(own[frame, token] for frame, token in enumerate(path)))
        assert tuple(tokens[row][tokens[row] != PAD].tolist()) == string_of(best)
        exact = sum(own[frame, token] for frame, token in enumerate(best))
        np.testing.assert_allclose(log_prob[row], exact, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(path=st.lists(st.integers(0, V - 1), min_size=S, max_size=S), count=st.integers(0, S), length=st.integers(1, S))
def test_collapse_merges_repeats_then_drops_blanks(path, count, length):
    tokens = np.asarray(collapse(jnp.array([path]), first(count), BLANK, length, PAD))[0]
    string = string_of(path[:count])[:length]
    assert tokens.tolist() == [*string, *[PAD] * (length - len(string))]


@settings(deadline=None, max_examples=50)
@given(string=st.lists(st.integers(0, V - 2), max_size=4), data=st.data())
def test_a_string_spread_over_frames_collapses_to_itself_and_fits(string, data):
    path = []
    for place, token in enumerate(string):
        needed = place > 0 and string[place - 1] == token
        path += [BLANK] * data.draw(st.integers(needed, 2)) + [token] * data.draw(st.integers(1, 2))
    room, count = 16, len(path)
    padded = np.array([path + [0] * (room - count)])
    tokens = np.asarray(collapse(padded, np.arange(room)[None] < count, BLANK, 4, PAD))[0]
    assert tokens[tokens != PAD].tolist() == string
    told = fits(np.array([string + [0] * (4 - len(string))]), np.arange(4)[None] < len(string), np.array([count]))
    assert bool(told[0])


def test_what_fits_is_what_some_path_gives():
    strings = [string for length in range(4) for string in itertools.product(range(V - 1), repeat=length)]
    tokens = np.array([[*string, *[0] * (3 - len(string))] for string in strings])
    mask = np.arange(3) < np.array([len(string) for string in strings])[:, None]
    for count in range(S):
        reached = {string_of(path) for path in itertools.product(range(V), repeat=count)}
        told = np.asarray(fits(tokens, mask, np.full(len(strings), count)))
        assert told.tolist() == [string in reached for string in strings]
