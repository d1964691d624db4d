"""The task of both autoregressive families: the exact likelihood of token sequences, of a text or a picture's pixels.

It belongs to neither: a family brings the network, which reads the tokens so far and gives the next ones' logits.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from jaxgen.core.layout import Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Trajectory, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.one_network import OneNetwork
from jaxgen.families.text_windows import Windows, given_to
from jaxgen.families.token_likelihood import likelihood_figures, likelihood_sums, masked, mean_over_tokens
from jaxgen.families.token_samplers import TokenSampler
from jaxgen.nn.conditions import Condition, check_any_kind, check_conditions, check_fraction, condition_of, hidden_rows
from jaxgen.ops.levels import to_tokens
from jaxgen.ops.rows import integers, row_keys
from jaxgen.ops.sequences import generate, tempered, token_log_prob
from jaxgen.types import Batch, Extra, Framing, Image, Key, Spec, Tokens, Unit, Variables

Carry = Any  # what a network keeps of the tokens so far; every leaf with the batch leading


class Network(Protocol):
    """A Linen module that gives the logits of the next token after each token of a sequence.

    Token V of its `vocabulary` of V tokens is "start".
    """

    vocabulary: int
    layout: ClassVar[tuple[Rule, ...]]  # how its parameters lie over a mesh
    streams: ClassVar[bool]  # whether what it keeps goes on from one training batch to the next

    def sized(self, vocabulary: int, positions: int, length: int) -> "Network":
        """For rows of `length` tokens, each of whose places has an embedding of its own if `positions` is not 0."""

    def carry(self, batch_size: int, length: int) -> Carry:
        """What is kept before the first token, with room for `length` tokens."""

    def __call__(
        self,
        tokens: jax.Array,
        carry: Carry | None,
        condition: Condition | None,
        keys: jax.Array | None = None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Carry | None]:
        """Logits [B, T, V] of what follows each of `tokens` [B, T], and the carry after them.

        Without a carry the tokens are read from the beginning, and one need not come back. `keys` [B] draw each row's
        dropout; None drops nothing. Where `segment` [B, T] changes another document begins, as if alone in its row.
        """

    def step(self, token: jax.Array, carry: Carry, condition: Condition | None) -> tuple[jax.Array, Carry]:
        """Logits [B, V] of what follows `token` [B], and the carry after it."""


@dataclass(frozen=True)
class LanguageModel(OneNetwork):
    """Maximum likelihood, one token after another.

    A picture is its levels in raster order after a start token, under what is given where something is. A text that
    is a STREAM is read with truncated back-propagation: the state is carried in `extra.rows`, no gradient flows across
    batches, and a `fresh` row starts from nothing; a network that does not stream reads each batch on its own. Samples
    are drawn by `sampler`; likelihoods know nothing of it. `condition_dropout` is the fraction of training rows whose
    given is hidden, so that pictures of any class can be drawn as well. The documents of a PACKED row know nothing of
    each other, targets outside the mask do not count, and a document's last token, V-1, ends its sample.

    A text longer than the rows that are trained on is drawn and scored in `windows` of their length, unless the state
    goes on from row to row in training too.
    """

    network: Network
    sampler: TokenSampler = TokenSampler()
    condition_dropout: float = 0.0
    spec: Spec | None = None
    picture: tuple[int, int, int] | None = None  # H, W, C where tokens are a picture's levels; from the data
    unit: Unit | None = None  # of a text's tokens; from the data
    end: int | None = None  # the token behind a document's last; from the data

    def __post_init__(self):
        check_fraction(self.condition_dropout)

    def sized(self, spec: Spec) -> "LanguageModel":
        check_conditions(spec, "LanguageModel")
        match spec.made:
            case Image() as image:
                sizes = {"picture": image.shape, "unit": None, "end": None}
                vocabulary, positions, length = image.levels, math.prod(image.shape), math.prod(image.shape)
            case Tokens(framing=Framing.ROWS | Framing.STREAM | Framing.PACKED) as tokens:
                vocabulary, positions, length = tokens.vocabulary, 0, tokens.length
                end = vocabulary - 1 if tokens.framing is Framing.PACKED else None
                sizes = {"picture": None, "unit": tokens.unit, "end": end}
            case _:
                raise UserError("a LanguageModel learns pictures or running text; give data=Pictures(...) or Text(...)")
        self.sampler.check_vocabulary(vocabulary)
        network = self.network.sized(vocabulary, positions, length)
        return replace(self, network=network, spec=spec, **sizes)

    @property
    def length(self) -> int:
        """L: the tokens that a sample has after its first or its prompt."""
        return math.prod(self.picture) if self.picture else self.spec.made.length

    @property
    def bound(self) -> str:
        """How the likelihood of a split is taken; `parts` tells it of one text."""
        return "exact" if self._unbroken else f"exact within windows of {self.length} {self.unit.value}s"

    @property
    def windows(self) -> Windows:
        """How a text of any length is read."""
        return Windows(self.length, self.length) if self._unbroken else Windows.overlapping(self.length)

    def init(self, key: Key) -> Variables:
        condition = condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)})
        variables = self.network.init(key, jnp.zeros((1, 1), jnp.int32), None, condition)
        return Variables(variables["params"], Extra())

    def rows(self, batch_size: int) -> Carry | None:
        """What is kept before a stream's first batch; None for pictures and lone sequences, which keep nothing."""
        return self.network.carry(batch_size, self.length) if self._streams else None

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over tokens (or pixels' channels) of -log p, nats."""
        hiding, dropping = jax.random.split(key)
        condition = condition_of(self.spec, batch, hidden_rows(self.condition_dropout, hiding, batch["row"]))
        log_prob, rows = self._read(variables, batch, condition, row_keys(dropping, batch["row"]))
        return mean_over_tokens(-log_prob, batch), Aux(rows=rows)

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats, exact: of a picture under what is given, or of the tokens after their first, from the beginning.

        Of a packed row it is the sum over its documents, each after its first token.
        """
        tokens = self._tokens(batch)
        logits, _ = self._apply(variables, tokens, None, condition_of(self.spec, batch), None, batch)
        return masked(token_log_prob(logits, tokens[:, 1:]), batch).sum(axis=1)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Carry | None]:
        log_prob, rows = self._read(variables, batch, condition_of(self.spec, batch), None)
        return likelihood_sums(log_prob, batch, self.unit), rows

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return likelihood_figures(sums, self.unit)

    def parts(self, batch: Batch) -> tuple[Sequence[Batch], str] | None:
        """One text in windows, for `evaluate` to be summed over, and how exact that is; None of a picture."""
        if self.picture:
            return None
        windows = self.windows
        parts = [{**part, "given": given_to(part, batch)} for part in windows.batches(batch["made"], self._unbroken)]
        if self._unbroken or batch["made"]["value"].shape[1] <= windows.length + 1:
            return parts, "exact"
        return parts, f"{self.bound}, stride {windows.stride}"

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C], or texts [B, P+L]: the prompt and what follows; see `rollout`."""
        return self.rollout(variables, request, key).example

    def check_policy(self) -> None:
        self.sampler.check_density()
        check_any_kind(self.spec, self.condition_dropout)

    def rollout(self, variables: Variables, request: Batch, key: Key) -> Trajectory:
        """An episode for each of request["row"] [B]: an action [B, L] a token, drawn by the sampler.

        What is not given is of any kind. request["made"] may hold a text's prompt "value" [B, P], of which each row's
        own tokens are where "known" [B, P] is true (without one documents begin with "start", other texts with a token
        that is drawn evenly); or a picture and its "known" levels, which are kept.
        """
        drawing, prompting = jax.random.split(key)
        row, condition, knobs = request["row"], condition_of(self.spec, request), knobs_of(self.sampler, request)
        tokens, known = self._prompt(request, prompting)
        first, length = tokens.shape[1], self.length if known is None else known[0].shape[1]

        def step(token: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
            return self.network.apply({"params": variables.params}, token, carry, condition, method="step")

        how, log_probs = (knobs["temperature"], self.sampler.top_k, knobs.get("top_p")), []
        for begin, start, stop in self._spans(first, first + length):
            carry = self.network.carry(len(row), stop - begin - 1)
            if start - begin > 1:
                _, carry = self.network.apply(
                    {"params": variables.params}, tokens[:, begin : start - 1], carry, condition
                )
            fixed = None if known is None else tuple(array[:, start - first : stop - first] for array in known)
            place = fixed, start - 1, self.end
            drawn, log_prob = generate(step, carry, tokens[:, -1], stop - start, row_keys(drawing, row), *how, *place)
            tokens = jnp.concatenate([tokens, drawn], axis=1)  # [B, P+L] in the end
            log_probs.append(log_prob)
        value = tokens
        if self.picture:
            value = tokens[:, 1:].reshape(-1, *self.picture).astype(self.spec.made.arrays()["value"][1])
        example = {"given": dict(request.get("given", {})), "made": {"value": value}}
        asked = {"row": row, "given": example["given"]}
        return Trajectory(asked, tokens, jnp.concatenate(log_probs, axis=1), example)

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, L] nats of the tokens drawn, a window in one parallel pass; what follows an end is certain."""
        tokens, size = trajectory.actions, trajectory.actions.shape[1]
        condition, sampler = condition_of(self.spec, trajectory.request), self.sampler
        apply, first = self.network.apply, size - trajectory.log_prob.shape[1]
        logits = jnp.concatenate(
            [
                apply({"params": variables.params}, tokens[:, begin : stop - 1], None, condition)[0][:, start - stop :]
                for begin, start, stop in self._spans(first, size)
            ],
            axis=1,
        )
        log_probs = tempered(logits, sampler.temperature, sampler.top_k, sampler.top_p)
        log_prob = jnp.take_along_axis(log_probs, tokens[:, first:, None], axis=-1)[..., 0]
        return log_prob if self.end is None else jnp.where(tokens[:, first - 1 : -1] == self.end, 0.0, log_prob)

    def _prompt(self, request: Batch, key: Key) -> tuple[jax.Array, tuple[jax.Array, jax.Array] | None]:
        """Tokens [B, P] to begin with, and those further on that stand already, each [B, N], with where they do."""
        row, made = request["row"], request.get("made")
        if self.picture:
            start = jnp.full((len(row), 1), self.network.vocabulary, jnp.int32)
            return start, None if made is None else (to_tokens(made["value"]), to_tokens(made["known"]) > 0)
        if made is None and self.end is not None:
            return jnp.full((len(row), 1), self.network.vocabulary, jnp.int32), None
        if made is None:
            return integers(key, row, (1,), self.network.vocabulary), None
        tokens = jnp.asarray(made["value"], jnp.int32)
        if tokens.shape[1] == 0:
            raise UserError("the prompt is empty; give at least one token, or no prompt")
        if "known" not in made:
            return tokens, None
        behind = ((0, 0), (0, self.length))
        return tokens[:, :1], (jnp.pad(tokens[:, 1:], behind), jnp.pad(made["known"][:, 1:], behind))

    @property
    def _streams(self) -> bool:
        return self.spec.made.continues and self.network.streams

    @property
    def _unbroken(self) -> bool:
        """Whether all tokens before one are read for it: of a picture, or by a state that goes on from row to row."""
        return self.spec is None or self.picture is not None or self._streams

    def _spans(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """The windows in which the tokens from `first` on are drawn: one where nothing is broken."""
        return iter([(0, first, last)]) if self._unbroken else self.windows.spans(first, last)

    def _tokens(self, batch: Batch) -> jax.Array:
        """[B, T+1]: what is read and, one place later, what is to be predicted."""
        if not self.picture:
            return batch["made"]["value"]
        levels = to_tokens(batch["made"]["value"])
        return jnp.pad(levels, ((0, 0), (1, 0)), constant_values=self.network.vocabulary)

    def _read(
        self, variables: Variables, batch: Batch, condition: Condition | None, keys: jax.Array | None
    ) -> tuple[jax.Array, Carry | None]:
        """The log-probability [B, T] nats of every token after those before it, and the rows to go on from."""
        tokens, carry = self._tokens(batch), self._carried(variables, batch)
        logits, carry = self._apply(variables, tokens, carry, condition, keys, batch)
        return token_log_prob(logits, tokens[:, 1:]), carry if self._streams else None

    def _apply(
        self,
        variables: Variables,
        tokens: jax.Array,
        carry: Carry | None,
        condition: Condition | None,
        keys: jax.Array | None,
        batch: Batch,
    ) -> tuple[jax.Array, Carry | None]:
        """The network over all tokens but the last, document by document where the batch is packed."""
        segment = batch["made"].get("segment")
        documents = () if segment is None else (segment[:, :-1],)
        return self.network.apply({"params": variables.params}, tokens[:, :-1], carry, condition, keys, *documents)

    def _carried(self, variables: Variables, batch: Batch) -> Carry | None:
        """What each row goes on from; None where all begin at the beginning."""
        if not self._streams:
            return None
        fresh = batch["fresh"]
        return jax.tree.map(
            lambda first, going: jnp.where(fresh.reshape(-1, *[1] * (going.ndim - 1)), first, going),
            self.network.carry(len(fresh), self.length),
            variables.extra.rows,
        )
