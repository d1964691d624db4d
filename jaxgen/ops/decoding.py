"""Sequences that end when they like: drawn token by token, or searched for with a beam; each one compiled loop.

Both stop as soon as every row has ended, and a row comes out the same whatever stands beside it in the batch.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.ops.sequences import Step, draw_token

_FIRST_ROOM = 16  # tokens that a search has room for at first


def draw_until(
    step: Step,
    carry: Any,
    first_token: jax.Array,
    end: int,
    length: int,
    keys: jax.Array,
    temperature: jax.Array | float = 1.0,
    top_k: int | None = None,
    top_p: jax.Array | float | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(tokens [B, length] int32, their log-probabilities [B, length] nats) after `first_token` [B], up to `end`.

    After its end a row holds `end`, of log-probability 0; the last place is an end, drawn or not. The other arguments
    are those of `ops.sequences.generate`.
    """
    size = len(first_token)

    def going(state):
        place, _, ended, *_ = state
        return (place < length) & ~ended.all()

    def advance(state):
        place, token, ended, carry, tokens, log_probs = state
        logits, carry = step(token, carry)
        logits = _ending(logits, end, place == length - 1)
        now = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, place)
        token, log_prob = draw_token(now, logits, temperature, top_k, top_p)
        token, log_prob = jnp.where(ended, end, token), jnp.where(ended, 0.0, log_prob)
        tokens, log_probs = tokens.at[:, place].set(token), log_probs.at[:, place].set(log_prob)
        return place + 1, token, ended | (token == end), carry, tokens, log_probs

    state = jnp.int32(0), first_token, jnp.zeros(size, bool), carry
    state += jnp.full((size, length), end, jnp.int32), jnp.zeros((size, length), jnp.float32)
    *_, tokens, log_probs = jax.lax.while_loop(going, advance, state)
    return tokens, log_probs


def beam_search(
    step: Step,
    with_room: Callable[[Any, int], Any],
    rows: int,
    width: int,
    start: int,
    end: int,
    length: int,
    length_penalty: jax.Array | float = 1.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(tokens [B, W, length] int32, log-probability [B, W] nats, score [B, W]) of the W best found, the best first.

    A hypothesis' score is its log-probability over (its tokens, the end counted) ** `length_penalty` (eq. 14 of arXiv
    1609.08144 without its constant; 0: the log-probability itself). At each place the W likeliest unfinished ones go
    on; one that ends among the W likeliest continuations is finished. A row is done when W are and no unfinished one,
    as long as it is by then, scores better than the worst of them: unlikely short ones must not end the search before
    the likeliest is whole. Width 1 is greedy decoding. Where fewer than W ended, as when there are no more strings, the
    others' score is -inf.

    `with_room(carry, n)` gives the carry with room for n tokens in all, and for None the one before the first token;
    its rows' beams lie side by side, every leaf [B * W, ...]. Room is doubled when it is needed: all of it is moved
    and attended to at every token, and most sequences are short.
    """
    beam = jnp.arange(width, dtype=jnp.int32)
    # all beams are alike: one of them goes on
    first = jnp.where(beam == 0, 0.0, -jnp.inf) * jnp.ones((rows, 1), jnp.float32)
    never = jnp.full((rows, width), -jnp.inf, jnp.float32)
    empty = jnp.full((rows, width, length), end, jnp.int32)

    def advance(state):
        place, token, alive, tokens, carry, closed, done = state
        logits, carry = step(token.reshape(-1), carry)
        log_probs = jax.nn.log_softmax(_ending(logits, end, place == length - 1))
        total = alive[..., None] + log_probs.reshape(rows, width, -1)
        value, parent, token = _best(total, 2 * width)  # [B, 2W]: whichever of them end, W go on
        grown = jnp.take_along_axis(tokens, parent[..., None], axis=1).at[:, :, place].set(token)
        ends, scale = token == end, (place + 1.0) ** length_penalty
        ended = jnp.where(ends & (jnp.arange(2 * width) < width) & ~closed[:, None], value / scale, -jnp.inf)
        done = _merged(done, (grown, value, ended), width)
        alive, kept = jax.lax.top_k(jnp.where(ends, -jnp.inf, value), width)
        closed |= jnp.isfinite(done[2]).all(axis=1) & (alive[:, 0] / scale <= done[2].min(axis=1))
        parent, token = (jnp.take_along_axis(array, kept, axis=1) for array in (parent, token))
        source = (parent + width * jnp.arange(rows)[:, None]).reshape(-1)
        carry = jax.tree.map(lambda leaf: leaf[source], carry)
        return place + 1, token, alive, jnp.take_along_axis(grown, kept[..., None], axis=1), carry, closed, done

    closed, done = jnp.zeros(rows, bool), (empty, never, never)
    state = jnp.int32(0), jnp.full((rows, width), start, jnp.int32), first, empty, None, closed, done
    room = 0
    while room < length:
        room = min(max(2 * room, _FIRST_ROOM), length)
        *before, carry, closed, done = state
        state = jax.lax.while_loop(
            lambda state, room=room: (state[0] < room) & ~state[-2].all(),
            advance,
            (*before, with_room(carry, room), closed, done),
        )
    return state[-1]


def _ending(logits: jax.Array, end: int, last: jax.Array) -> jax.Array:
    """`logits` [B, V], of which `end` alone is left at the last place."""
    return jnp.where(last & (jnp.arange(logits.shape[-1]) != end), -jnp.inf, logits)


def _best(total: jax.Array, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The likeliest continuations of [B, W, V]: their totals, the beams that they go on from, their tokens, [B, count].

    Taken beam by beam first: sorting is the dearest part of a step on a CPU.
    """
    rows, each = len(total), min(count, total.shape[-1])
    values, tokens = jax.lax.top_k(total, each)  # [B, W, each]
    value, place = jax.lax.top_k(values.reshape(rows, -1), count)
    return value, place // each, jnp.take_along_axis(tokens.reshape(rows, -1), place, axis=1)


def _merged(done: tuple, more: tuple, width: int) -> tuple:
    """The best `width` of two sets of (tokens [B, N, T], log-probability [B, N], score [B, N])."""
    tokens, log_prob, score = (jnp.concatenate(pair, axis=1) for pair in zip(done, more, strict=True))
    score, kept = jax.lax.top_k(score, width)
    tokens = jnp.take_along_axis(tokens, kept[..., None], axis=1)
    return tokens, jnp.where(jnp.isfinite(score), jnp.take_along_axis(log_prob, kept, axis=1), -jnp.inf), score
