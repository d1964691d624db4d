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
    best = log_probs.max(axis=-1)
    # what argmax gives, in a third of its time or less on a CPU
    token = jnp.arange(log_probs.shape[-1], dtype=jnp.int32)
    path = jnp.where(log_probs == best[..., None], token, log_probs.shape[-1]).min(axis=-1)
    return collapse(path, mask, blank, length, pad), jnp.where(mask, best, 0.0).sum(axis=1)


_WORTH_IT = 4  # of so many times fewer tokens the search saves more than finding them costs (a CPU, W 8 and 16)


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
    """W different strings a row, the best first; a score of -inf marks a place that holds none."""

    tokens: jax.Array  # [B, W, length]
    count: jax.Array  # [B, W]
    last: jax.Array  # [B, W] the last token, blank in an empty string
    begun_by: jax.Array  # [B, W, W] whether the first one's string begins with the second one's
    ends_blank: jax.Array  # [B, W] nats: all paths so far of this string that end in a blank
    ends_token: jax.Array  # [B, W] nats: those that end in its last token
    both: jax.Array  # [B, W] nats
    score: jax.Array  # [B, W]


class _Frame(NamedTuple):
    """What a frame says, and the C tokens that a string may grow by; leaves [S, ...] for all frames."""

    log_probs: jax.Array  # [B, V] nats
    tokens: jax.Array  # [B, C]
    values: jax.Array  # [B, C] their nats, -inf for the blank


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
    log_probs = jnp.where(mask[..., None], log_probs.astype(jnp.float32), silent)
    ends = jnp.where(mask, 1 + jnp.arange(mask.shape[1]), 0).max()
    frames = _frames(jnp.moveaxis(log_probs, 1, 0), blank, size if lm else width + 1)
    beams = _first(rows, width, length, blank, pad)
    judged = None
    if lm is not None:
        judged = _judge(lm, lm.carry, jnp.full(rows * width, lm.start), jnp.zeros(rows * width), size)

    def advance(state):
        place, beams, judged = state
        now = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, place, keepdims=False), frames)
        beams, parent, grew = _next(beams, judged, now, lm, token_bonus, blank)
        return place + 1, beams, None if lm is None else _follow(lm, judged, beams, parent, grew)

    _, beams, judged = jax.lax.while_loop(lambda state: state[0] < ends, advance, (jnp.int32(0), beams, judged))
    log_prob = jnp.where(jnp.isfinite(beams.score), beams.both, -jnp.inf)
    if lm is None or lm.end is None:
        return beams.tokens, log_prob, beams.score
    score, order = jax.lax.top_k(beams.score + _weighed(lm, judged.ending.reshape(rows, width)), width)
    return _of_row(beams.tokens, order), _of_row(log_prob, order), score


def _frames(log_probs: jax.Array, blank: int, most: int) -> _Frame:
    """Of `log_probs` [S, B, V]: `most` tokens a frame, the likeliest first; all where there are few more.

    Without a language model W + 1 tokens are enough. A string gains more by a likelier token, or that one's mass joins
    a string of the beam that has more; the repeat of its last token alone may gain less.
    """
    size = log_probs.shape[-1]
    values = jnp.where(jnp.arange(size) == blank, -jnp.inf, log_probs)
    if _WORTH_IT * most < size - 1:
        values, tokens = jax.lax.top_k(values, most)
    else:
        tokens = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), values.shape)
    return _Frame(log_probs, tokens, values)


def _first(rows: int, width: int, length: int, blank: int, pad: int) -> _Beams:
    """The empty string, and places that hold none."""
    nothing = jnp.full((rows, width), -jnp.inf, jnp.float32)
    one = nothing.at[:, 0].set(0.0)
    number = jnp.zeros((rows, width), jnp.int32)
    tokens, begun_by = jnp.full((rows, width, length), pad, jnp.int32), jnp.ones((rows, width, width), bool)
    return _Beams(tokens, number, number + blank, begun_by, one, nothing, one, one)


def _next(beams: _Beams, judged: _Judged | None, now: _Frame, lm, token_bonus, blank: int):
    """(the beams after a frame, which of the old ones each comes from [B, W], whether it grew by a token [B, W])."""
    (rows, width, length), choices = beams.tokens.shape, now.tokens.shape[-1]
    row = jnp.arange(rows)[:, None]
    ends_blank, ends_token, parent, has_parent = _stayed(beams, now, blank)

    # a string grows by any token, by its last one only after a blank; what is in the beam has been joined already
    repeats = now.tokens[:, None] == beams.last[..., None]
    grown = jnp.where(repeats, beams.ends_blank[..., None], beams.both[..., None]) + now.values[:, None]  # [B, W, C]
    grown = jnp.where((beams.count == length)[..., None], -jnp.inf, grown)
    choice = jnp.where(repeats, jnp.arange(choices), 0).sum(axis=-1)
    joined = has_parent & repeats.any(axis=-1)
    grown = grown.at[row, jnp.where(joined, parent, width), choice].set(-jnp.inf, mode="drop")

    alive = jnp.isfinite(beams.score)
    stays = jnp.where(alive, jnp.logaddexp(ends_blank, ends_token) + token_bonus * beams.count, -jnp.inf)
    grows = grown + (token_bonus * (beams.count + 1.0))[..., None]
    if lm is not None:  # all V tokens are to choose from
        stays += _weighed(lm, judged.total.reshape(rows, width))
        grows += _weighed(lm, (judged.total[:, None] + judged.following).reshape(rows, width, choices))
    score, place = jax.lax.top_k(jnp.concatenate([stays, grows.reshape(rows, -1)], axis=1), width)

    grew = place >= width
    parent, choice = jnp.where(grew, (place - width) // choices, place), jnp.where(grew, (place - width) % choices, 0)
    last = jnp.where(grew, _of_row(now.tokens, choice), _of_row(beams.last, parent))
    ends_token = jnp.where(grew, grown[row, parent, choice], _of_row(ends_token, parent))
    ends_blank = jnp.where(grew, -jnp.inf, _of_row(ends_blank, parent))
    after = _Beams(*_strings(beams, parent, grew, last), ends_blank, ends_token, None, score)
    return after._replace(both=jnp.logaddexp(ends_blank, ends_token)), parent, grew


def _stayed(beams: _Beams, now: _Frame, blank: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Strings that are in the beam after a frame: (nats that end in a blank [B, W], in the last token [B, W], parent).

    Parent is the beam whose string lacks the last token alone [B, W], and whether there is one [B, W]: growing by that
    token it becomes this string, and its paths join.
    """
    alive = jnp.isfinite(beams.score)
    lacks_one = beams.begun_by & (beams.count[..., None] == beams.count[:, None] + 1)
    lacks_one &= alive[..., None] & alive[:, None]
    parent = jnp.where(lacks_one, jnp.arange(alive.shape[1]), -1).max(axis=-1)
    has_parent, parent = parent >= 0, jnp.maximum(parent, 0)
    of_last = jnp.take_along_axis(now.log_probs, beams.last, axis=1)
    repeated = _of_row(beams.last, parent) == beams.last
    joining = jnp.where(repeated, _of_row(beams.ends_blank, parent), _of_row(beams.both, parent))
    ends_token = jnp.logaddexp(beams.ends_token, jnp.where(has_parent, joining, -jnp.inf)) + of_last
    return beams.both + now.log_probs[:, blank, None], ends_token, parent, has_parent


def _strings(beams: _Beams, parent: jax.Array, grew: jax.Array, last: jax.Array) -> tuple[jax.Array, ...]:
    """(tokens, count, last, begun_by) of strings that come from `parent` [B, W] and `grew` by `last` or did not."""
    rows, width, length = beams.tokens.shape
    row, beam = jnp.arange(rows)[:, None], jnp.arange(width)
    count = _of_row(beams.count, parent)
    tokens = beams.tokens[row, parent].at[row, beam, jnp.where(grew, count, length)].set(last, mode="drop")
    count += grew
    # a string that grew is in no string of the old beam unless it began it: what is there already was joined
    begun_by = beams.begun_by[row[..., None], parent[..., None], parent[:, None]]
    at_its_end = tokens[row[..., None], beam[:, None], jnp.maximum(count - 1, 0)[:, None]]  # [B, W, W]
    goes_on = (count[..., None] >= count[:, None]) & (at_its_end == last[:, None])
    return tokens, count, last, begun_by & (~grew[:, None] | goes_on)


def _judge(lm: LanguageModel, carry: Any, token: jax.Array, total: jax.Array, size: int) -> _Judged:
    """The language model after `token` [N]; `total` [N] nats of the strings that end in it."""
    logits, carry = lm.step(token, carry)
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
    ending = jnp.zeros(len(token)) if lm.end is None else log_probs[:, lm.end]
    lacking = max(size - log_probs.shape[-1], 0)  # the blank, say
    following = jnp.pad(log_probs, ((0, 0), (0, lacking)), constant_values=-jnp.inf)[:, :size]
    return _Judged(total, following, ending, carry)


def _follow(lm: LanguageModel, judged: _Judged, beams: _Beams, parent: jax.Array, grew: jax.Array) -> _Judged:
    """The language model's part after a frame: it reads the new tokens of the beams that grew."""
    rows, width = parent.shape
    source = (parent + width * jnp.arange(rows)[:, None]).reshape(-1)
    judged = jax.tree.map(lambda leaf: leaf[source], judged)
    token, grew = beams.last.reshape(-1), grew.reshape(-1)

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
