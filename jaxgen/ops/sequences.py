"""Sequences of tokens: their log-probabilities, drawing a token, and generation in one compiled scan."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_COLDEST = 1e-30  # divides where the temperature is 0: any difference of logits becomes beyond measure

Step = Callable[[jax.Array, Any], tuple[jax.Array, Any]]  # (token [B], carry) -> (logits [B, V], carry)


def place_in_segment(segment: jax.Array) -> jax.Array:
    """[B, T] int32: how many places before it are of the same run of equal numbers in `segment` [B, T]."""
    place = jnp.arange(segment.shape[1], dtype=jnp.int32)
    begins = jnp.pad(segment[:, 1:] != segment[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return place - jax.lax.cummax(jnp.where(begins, place, 0), axis=1)


def within_segment(tokens: jax.Array, segment: jax.Array, back: int, start: int) -> jax.Array:
    """`tokens` [B, T], each from `back - 1` places earlier, with `start` where that lies in another segment."""
    return jnp.where(place_in_segment(segment) >= back - 1, tokens, start)


def token_log_prob(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """[B, T] nats: the log-probability that `logits` [B, T, V] give to `tokens` [B, T]."""
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def tempered(
    logits: jax.Array, temperature: jax.Array | float, top_k: int | None, top_p: jax.Array | float | None = None
) -> jax.Array:
    """[..., V] nats: the log-probabilities that a token is drawn from, -inf where it cannot fall.

    The `top_k` likeliest tokens are kept (None: all; of equals the first), their logits divided by `temperature`, and
    of these the likeliest that together reach `top_p` (nucleus sampling, arXiv 1904.09751; None: all). Temperature 0 is
    the limit: the likeliest token alone, or the likeliest ones evenly when several are equal. Raises ValueError for a
    `top_k` outside 1 .. V.
    """
    if top_k is not None:
        if not 1 <= top_k <= logits.shape[-1]:
            raise ValueError(f"top_k is {top_k}; it must lie between 1 and the vocabulary's {logits.shape[-1]}")
        largest = jax.lax.top_k(logits, top_k)[1]
        keep = jnp.put_along_axis(jnp.zeros(logits.shape, bool), largest, True, axis=-1, inplace=False)
        logits = jnp.where(keep, logits, -jnp.inf)
    below = logits - logits.max(axis=-1, keepdims=True)  # the subtraction first: dividing must not overflow the largest
    log_probs = jax.nn.log_softmax(below / jnp.maximum(temperature, _COLDEST), axis=-1)
    return log_probs if top_p is None else _nucleus(log_probs, top_p)


def _nucleus(log_probs: jax.Array, top_p: jax.Array | float) -> jax.Array:
    """[..., V] nats: the smallest set of likeliest tokens whose probabilities sum to `top_p` or more, renormalised."""
    order = jnp.argsort(-log_probs, axis=-1)
    ranked = jnp.exp(jnp.take_along_axis(log_probs, order, axis=-1))
    before = jnp.cumsum(ranked, axis=-1) - ranked  # of the likelier ones: the first is always kept
    reached = (before >= top_p) & (jnp.asarray(top_p) < 1)  # a sum rounds to 1 before the last tokens are in it
    keep = jnp.take_along_axis(~reached, jnp.argsort(order, axis=-1), axis=-1)
    return jax.nn.log_softmax(jnp.where(keep, log_probs, -jnp.inf), axis=-1)


def draw_token(
    keys: jax.Array,
    logits: jax.Array,
    temperature: jax.Array | float,
    top_k: int | None,
    top_p: jax.Array | float | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(token [B] int32, its log-probability [B] nats) from `logits` [B, V] by the distribution of `tempered`.

    Row b draws from `keys[b]` alone.
    """
    log_probs = tempered(logits, temperature, top_k, top_p)
    token = jax.vmap(jax.random.categorical)(keys, log_probs).astype(jnp.int32)
    return token, jnp.take_along_axis(log_probs, token[:, None], axis=-1)[:, 0]


def generate(
    step: Step,
    carry: Any,
    first_token: jax.Array,
    length: int,
    keys: jax.Array,
    temperature: jax.Array | float = 1.0,
    top_k: int | None = None,
    top_p: jax.Array | float | None = None,
    known: tuple[jax.Array, jax.Array] | None = None,
    place: int = 0,
    end: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(tokens [B, length] int32, their log-probabilities [B, length] nats) that follow `first_token` [B], in one scan.

    `step` gives the logits after a token. Row b draws from `keys[b]` alone, so that it comes out the same in any batch.
    The log-probabilities are those of the distribution that was drawn from. `known` (tokens [B, length], where [B,
    length]) are tokens that stand already: they are read in their places, and their log-probability is 0. `place` is
    how many tokens stand before `first_token`: what is drawn depends on a token's place in the whole sequence. After an
    `end` a row holds `end`, of log-probability 0.
    """

    def advance(state, place):
        before, carry = state
        position, fixed = place
        logits, carry = step(before, carry)
        now = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, position)
        token, log_prob = draw_token(now, logits, temperature, top_k, top_p)
        if end is not None:
            token, log_prob = jnp.where(before == end, end, token), jnp.where(before == end, 0.0, log_prob)
        if fixed is not None:
            token, log_prob = jnp.where(fixed[1], fixed[0], token), jnp.where(fixed[1], 0.0, log_prob)
        return (token, carry), (token, log_prob)

    fixed = None if known is None else (known[0].T, known[1].T)
    _, (tokens, log_prob) = jax.lax.scan(
        advance, (first_token, carry), (place + jnp.arange(length, dtype=jnp.int32), fixed)
    )
    return tokens.T, log_prob.T
