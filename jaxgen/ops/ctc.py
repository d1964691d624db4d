"""Connectionist temporal classification: paths collapsed to tokens, greedy decoding, prefix beam search.

A path names one token or the blank for each frame; its string is what is left when repeats are merged and then blanks
removed. A string's probability is the sum over all its paths (eq. 3 of Graves et al., ICML 2006).
"""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.ops.sequences import Step


def collapse(path: jax.Array, mask: jax.Array, blank: int, length: int, pad: int) -> jax.Array:
    """[B, length] int32: the strings of `path` [B, S], cut at `length` tokens and filled up with `pad`.

    Places outside `mask` [B, S] count as blank.
    """
    path = jnp.where(mask, path, blank)
    before = jnp.pad(path[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
    kept = (path != blank) & (path != before)
    place = jnp.where(kept, jnp.cumsum(kept, axis=1) - 1, length)
    empty = jnp.full((len(path), length), pad, jnp.int32)
    return empty.at[jnp.arange(len(path))[:, None], place].set(path.astype(jnp.int32), mode="drop")


def fits(tokens: jax.Array, mask: jax.Array, frames: jax.Array) -> jax.Array:
    """[B] bool: whether a path of `frames` [B] frames can give the string `tokens` [B, T], `mask` [B, T] of it.

    Two equal neighbours need a blank between them. A string that does not fit has probability 0.
    """
    doubled = (tokens[:, 1:] == tokens[:, :-1]) & mask[:, 1:] & mask[:, :-1]
    return mask.sum(axis=1) + doubled.sum(axis=1) <= frames


def greedy(log_probs: jax.Array, mask: jax.Array, blank: int, length: int, pad: int) -> tuple[jax.Array, jax.Array]:
    """(tokens [B, length] int32, log-probability [B] nats) of the likeliest path of `log_probs` [B, S, V].

    The likeliest path's string need not be the likeliest string: that is what `prefix_beam_search` looks for.
    """
    path = jnp.argmax(log_probs, axis=-1)
    return collapse(path, mask, blank, length, pad), jnp.where(mask, log_probs.max(axis=-1), 0.0).sum(axis=1)


class LanguageModel(NamedTuple):
    """What judges the strings while they are searched for (shallow fusion).

    `step` gives the logits [N, V'] of what follows a token; tokens of the two vocabularies are equal below V'. Every
    leaf of `carry`, the state before `start`, is [B * W, ...], the beams of a row side by side, and holds all that
    depends on the place, as beams of one row differ in length. `weight` multiplies the log-probability; with an `end`
    that token's probability counts at the end of the search.
    """

    step: Step
    carry: Any
    start: int
    weight: jax.Array | float
    end: int | None = None


class _Beams(NamedTuple):
    """W different strings a row; a score of -inf marks a place that holds none."""

    tokens: jax.Array  # [B, W, length]
    count: jax.Array  # [B, W]
    last: jax.Array  # [B, W] the last token, blank in an empty string
    ends_blank: jax.Array  # [B, W] nats: all paths so far of this string that end in a blank
    ends_token: jax.Array  # [B, W] nats: those that end in its last token
    score: jax.Array  # [B, W]


class _Judged(NamedTuple):
    """The language model's part of the search, N = B * W."""

    total: jax.Array  # [N] nats of each string
    following: jax.Array  # [N, V] nats of each token after it
    ending: jax.Array  # [N] nats of its end
    carry: Any  # [N, ...]


def prefix_beam_search(
    log_probs: jax.Array,
    mask: jax.Array,
    width: int,
    blank: int,
    length: int,
    pad: int,
    *,
    lm: LanguageModel | None = None,
    token_bonus: jax.Array | float = 0.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(tokens [B, W, length] int32, log-probability [B, W] nats, score [B, W]) of the W best strings, the best first.

    `log_probs` [B, S, V] are nats by frame, `mask` [B, S] the frames that count. After each frame the W strings of the
    best score go on (algorithm 1 of arXiv 1408.2873): log p + `lm.weight` log p_lm + `token_bonus` * tokens. A string
    that is reached in two ways is one. The log-probability sums over all of a string's paths whose prefixes stayed in
    the beam: all paths, when W is large enough. Strings have `length` tokens at most; where there are fewer than W, the
    others' score is -inf.
    """
    rows, _, size = log_probs.shape
    silent = jnp.where(jnp.arange(size) == blank, 0.0, -jnp.inf)
    log_probs = jnp.where(mask[..., None], log_probs, silent)
    frames = jnp.where(mask, 1 + jnp.arange(mask.shape[1]), 0).max()
    beams = _first(rows, width, length, blank, pad)
    judged = None
    if lm is not None:
        judged = _judge(lm, lm.carry, jnp.full(rows * width, lm.start), jnp.zeros(rows * width), size)

    def advance(state):
        frame, beams, judged = state
        now = jax.lax.dynamic_index_in_dim(log_probs, frame, axis=1, keepdims=False)
        beams, parent, extended = _next(beams, judged, now, lm, token_bonus, blank)
        return frame + 1, beams, None if lm is None else _follow(lm, judged, beams, parent, extended)

    _, beams, judged = jax.lax.while_loop(lambda state: state[0] < frames, advance, (jnp.int32(0), beams, judged))
    log_prob = jnp.where(jnp.isfinite(beams.score), jnp.logaddexp(beams.ends_blank, beams.ends_token), -jnp.inf)
    if lm is None or lm.end is None:
        return beams.tokens, log_prob, beams.score
    score, order = jax.lax.top_k(beams.score + _weighed(lm, judged.ending.reshape(rows, width)), width)
    return _of_row(beams.tokens, order), _of_row(log_prob, order), score


def _first(rows: int, width: int, length: int, blank: int, pad: int) -> _Beams:
    """The empty string, and places that hold none."""
    nothing = jnp.full((rows, width), -jnp.inf, jnp.float32)
    one = nothing.at[:, 0].set(0.0)
    number = jnp.zeros((rows, width), jnp.int32)
    return _Beams(jnp.full((rows, width, length), pad, jnp.int32), number, number + blank, one, nothing, one)


def _next(beams: _Beams, judged: _Judged | None, now: jax.Array, lm, token_bonus, blank: int):
    """(beams after a frame of log-probabilities `now` [B, V], which each came from [B, W], whether it grew [B, W])."""
    rows, width, length = beams.tokens.shape
    size = now.shape[-1]
    alive = jnp.isfinite(beams.score)
    both = jnp.logaddexp(beams.ends_blank, beams.ends_token)
    of_last = jnp.take_along_axis(now, beams.last, axis=1)

    # a string grows by any token; a repeat of its last one only after a blank
    token = jnp.arange(size)
    grown = jnp.where(token == beams.last[..., None], beams.ends_blank[..., None], both[..., None]) + now[:, None]
    grown = jnp.where((token == blank) | (beams.count == length)[..., None], -jnp.inf, grown)  # [B, W, V]

    # what another beam grows into one that is there already is added to that one
    parent, has_parent = _parents(beams, alive)
    source = jnp.where(has_parent, parent, width)
    joined = jnp.take_along_axis(grown.reshape(rows, -1), parent * size + beams.last, axis=1)
    ends_blank = both + now[:, blank, None]
    ends_token = jnp.logaddexp(beams.ends_token + of_last, jnp.where(has_parent, joined, -jnp.inf))
    row = jnp.arange(rows)[:, None]
    grown = grown.at[row, source, beams.last].set(-jnp.inf, mode="drop")

    # the W best of those that stay and those that grow
    stays = jnp.where(alive, jnp.logaddexp(ends_blank, ends_token) + token_bonus * beams.count, -jnp.inf)
    grows = grown + (token_bonus * (beams.count + 1.0))[..., None]
    if lm is not None:
        stays += _weighed(lm, judged.total.reshape(rows, width))
        grows += _weighed(lm, (judged.total[:, None] + judged.following).reshape(rows, width, size))
    score, place = jax.lax.top_k(jnp.concatenate([stays, grows.reshape(rows, -1)], axis=1), width)
    extended = place >= width
    parent = jnp.where(extended, (place - width) // size, place)
    token = jnp.where(extended, (place - width) % size, _of_row(beams.last, parent))
    mass = _of_row(jnp.concatenate([ends_token, grown.reshape(rows, -1)], axis=1), place)
    count = _of_row(beams.count, parent)
    tokens = _of_row(beams.tokens, parent)
    tokens = jnp.where(extended[..., None] & (jnp.arange(length) == count[..., None]), token[..., None], tokens)
    ends_blank = jnp.where(extended, -jnp.inf, _of_row(ends_blank, parent))
    return _Beams(tokens, count + extended, token, ends_blank, mass, score), parent, extended


def _parents(beams: _Beams, alive: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(the beam [B, W] whose string is this one's without its last token, whether there is one [B, W])."""
    tokens, count = beams.tokens, beams.count
    beyond = jnp.arange(tokens.shape[-1]) >= count[..., None]
    equal = (beyond[:, :, None] | (tokens[:, :, None] == tokens[:, None])).all(axis=-1)  # [B, of parent, of child]
    is_parent = equal & (count[:, None] == count[:, :, None] + 1) & alive[:, None] & alive[:, :, None]
    return jnp.argmax(is_parent, axis=1).astype(jnp.int32), is_parent.any(axis=1)


def _judge(lm: LanguageModel, carry: Any, token: jax.Array, total: jax.Array, size: int) -> _Judged:
    """The language model after `token` [N]; `total` [N] nats of the strings that end in it."""
    logits, carry = lm.step(token, carry)
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    ending = jnp.zeros(len(token)) if lm.end is None else log_probs[:, lm.end]
    lacking = max(size - log_probs.shape[-1], 0)  # the blank, say
    following = jnp.pad(log_probs, ((0, 0), (0, lacking)), constant_values=-jnp.inf)[:, :size]
    return _Judged(total, following, ending, carry)


def _follow(lm: LanguageModel, judged: _Judged, beams: _Beams, parent: jax.Array, extended: jax.Array) -> _Judged:
    """The language model's part after a frame: it reads the new tokens of the beams that grew."""
    rows, width = parent.shape
    source = (parent + width * jnp.arange(rows)[:, None]).reshape(-1)
    judged = jax.tree.map(lambda leaf: leaf[source], judged)
    token, grew = beams.last.reshape(-1), extended.reshape(-1)

    def read(old: _Judged) -> _Judged:
        gain = jnp.take_along_axis(old.following, token[:, None], axis=1)[:, 0]
        new = _judge(lm, old.carry, token, old.total + gain, old.following.shape[-1])
        return jax.tree.map(lambda new, old: jnp.where(grew.reshape(-1, *(1,) * (old.ndim - 1)), new, old), new, old)

    return jax.lax.cond(grew.any(), read, lambda old: old, judged)


def _weighed(lm: LanguageModel, log_prob: jax.Array) -> jax.Array:
    """Its part of a score; 0 by a weight of 0, whatever it says."""
    return jnp.where(jnp.asarray(lm.weight) == 0, 0.0, lm.weight * log_prob)


def _of_row(array: jax.Array, place: jax.Array) -> jax.Array:
    """[B, N, ...]: of `array` [B, M, ...] what stands at `place` [B, N] of each row."""
    return jax.vmap(lambda row, place: row[place])(array, place)
