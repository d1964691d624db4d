"""The task of both autoregressive wings: the exact likelihood of token sequences, be they text or a picture's pixels.

It belongs to no wing: a wing brings the network, which reads the tokens so far and holds the next ones likely or not.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from jaxgen.core.layout import Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Trajectory, Turn
from jaxgen.errors import UserError
from jaxgen.ops.levels import to_tokens
from jaxgen.ops.rows import integers, row_keys, uniform
from jaxgen.ops.sequences import generate, tempered, token_log_prob
from jaxgen.types import Batch, Extra, Key, Spec, Unit, Variables

Carry = Any  # what a network keeps of the tokens so far; every leaf with the batch leading


class Network(Protocol):
    """A Linen module that holds the next token likely or not after each token of a sequence.

    Three of its fields come from the data: `vocabulary` V, `classes` (0: no condition) and `positions` (0: none).
    Token V is "start", label `classes` is "of any class".
    """

    vocabulary: int
    classes: int
    positions: int
    layout: ClassVar[tuple[Rule, ...]]  # how its parameters lie over a mesh
    streams: ClassVar[bool]  # whether what it keeps goes on from one training batch to the next

    def carry(self, batch_size: int, length: int) -> Carry:
        """What is kept before the first token, with room for `length` tokens."""

    def __call__(
        self,
        tokens: jax.Array,
        carry: Carry | None,
        label: jax.Array | None,
        keys: jax.Array | None = None,
        segment: jax.Array | None = None,
    ) -> tuple[jax.Array, Carry | None]:
        """Logits [B, T, V] of what follows each of `tokens` [B, T], and the carry after them.

        Without a carry the tokens are read from the beginning, and one need not come back. `keys` [B] draw each row's
        dropout; None drops nothing. Where `segment` [B, T] changes another document begins, as if alone in its row.
        """

    def step(self, token: jax.Array, carry: Carry, label: jax.Array | None) -> tuple[jax.Array, Carry]:
        """Logits [B, V] of what follows `token` [B], and the carry after it."""


@dataclass(frozen=True)
class LanguageModel:
    """Maximum likelihood, one token after another.

    A picture is its levels in raster order after a start token, under its label where there is one. A text that
    `continues` from batch to batch is read with truncated back-propagation: the state is carried in `extra.rows`, no
    gradient flows across batches, and a `fresh` row starts from nothing; a network that does not stream reads each
    batch on its own. Samples are drawn at `temperature` from the `top_k` likeliest tokens (None: from all); likelihoods
    know neither. `condition_dropout` is the fraction of training rows whose label is hidden, so that pictures of any
    class can be drawn as well. The documents of a `packed` row know nothing of each other, and targets outside `mask` do not
    count.
    """

    network: Network
    temperature: float = 1.0
    top_k: int | None = None
    condition_dropout: float = 0.0
    spec: Spec | None = None
    bound = "exact"

    def __post_init__(self):
        if self.temperature < 0:
            raise UserError(f"temperature is {self.temperature}; give 0 (the likeliest token) or more")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k is {self.top_k}; give at least 1, or none for all tokens")
        if not 0 <= self.condition_dropout < 1:
            raise UserError(
                f"condition_dropout is {self.condition_dropout}; give a share from 0 up to, not including, 1"
            )

    def sized(self, spec: Spec) -> "LanguageModel":
        if spec.image is None and not spec.length:
            raise UserError("a LanguageModel learns pictures or tokens, and these data have neither")
        if spec.image is None and (spec.source_length or spec.wave):
            given = "sentences to translate" if spec.source_length else "recordings"
            raise UserError(f"a LanguageModel reads no {given}, which these data have; give data=Text(...)")
        vocabulary = spec.vocabulary if spec.image is None else spec.levels
        if self.top_k is not None and self.top_k > vocabulary:
            raise UserError(f"top_k is {self.top_k}, but these data have {vocabulary} tokens; give no more than that")
        positions = 0 if spec.image is None else math.prod(spec.image)
        network = self.network.clone(vocabulary=vocabulary, classes=spec.classes, positions=positions)
        return replace(self, network=network, spec=spec)

    def init(self, key: Key) -> Variables:
        label = jnp.zeros(1, jnp.int32) if self.spec.classes else None
        variables = self.network.init(key, jnp.zeros((1, 1), jnp.int32), None, label)
        return Variables(variables["params"], Extra())

    def rows(self, batch_size: int) -> Carry | None:
        """What is kept before a stream's first batch; None for pictures and lone sequences, which keep nothing."""
        return self.network.carry(batch_size, self.spec.length) if self._streams else None

    def layout(self) -> tuple[Rule, ...]:
        return self.network.layout

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("likelihood", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over tokens (or pixels' channels) of -log p, nats."""
        hiding, dropping = jax.random.split(key)
        if self.spec.classes and self.condition_dropout:
            hidden = uniform(hiding, batch["row"], ()) < self.condition_dropout
            batch = {**batch, "label": jnp.where(hidden, self.spec.classes, batch["label"])}
        log_prob, rows = self._read(variables, batch, row_keys(dropping, batch["row"]))
        return _mean(-log_prob, batch), Aux(rows=rows)

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats, exact: of a picture under its label, or of `tokens` after their first, read from the beginning.

        Of a packed row it is the sum over its documents, each after its first token.
        """
        tokens, label = self._tokens(batch), self._label(batch)
        logits, _ = self._apply(variables, tokens, None, label, None, batch)
        return _masked(token_log_prob(logits, tokens[:, 1:]), batch).sum(axis=1)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Carry | None]:
        log_prob, rows = self._read(variables, batch, None)
        sums = {"nats": _mean(-log_prob, batch)}
        if self.spec.unit is Unit.SUBWORD:
            sums["bytes"] = _mean(jnp.asarray(self.spec.token_bytes, jnp.float32)[batch["tokens"][:, 1:]], batch)
        return sums, rows

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        nats = sums["nats"].value
        if self.spec.image is not None:
            return {"nats_per_token": nats, "bits_per_dim": nats / math.log(2)}
        figures, bits = {"nats_per_token": nats}, nats / math.log(2)
        match self.spec.unit:
            case Unit.CHARACTER:
                return figures | {"bits_per_character": bits, "perplexity": jnp.exp(nats)}
            case Unit.BYTE:
                return figures | {"bits_per_byte": bits}
            case Unit.WORD:  # with the ends of lines among the words, as the benchmarks count them
                return figures | {"perplexity_per_word": jnp.exp(nats)}
            case Unit.SUBWORD:
                return figures | {"bits_per_byte": bits / sums["bytes"].value, "perplexity": jnp.exp(nats)}

    def sample(self, variables: Variables, count: int, given: Batch, key: Key) -> Batch:
        """Pictures {"image" [count, H, W, C], "label"} or texts {"tokens" [count, P+L]}: the prompt and what follows.

        `given` may hold "label" [count] (else the classes take turns) and for text a prompt "tokens" [count, P];
        without one the first token is drawn evenly. L is the length of the training sequences.
        """
        row = jnp.arange(count)
        turns = {"label": row % self.spec.classes} if self.spec.classes else {}
        return self.rollout(variables, {**turns, **given, "row": row}, key).example

    def rollout(self, variables: Variables, given: Batch, key: Key) -> Trajectory:
        """An episode for each of given["row"] [B]: a action [B, L] a token, at `temperature` from the `top_k`.

        Under given["label"], else under "of any class"; after the prompt given["tokens"] [B, P], as `sample` has it.
        """
        drawing, prompting = jax.random.split(key)
        row, label, prompt = given["row"], self._label(given), self._prompt(given, prompting)
        length = self.spec.length if self.spec.image is None else math.prod(self.spec.image)
        carry = self.network.carry(len(row), prompt.shape[1] - 1 + length)
        if prompt.shape[1] > 1:
            _, carry = self.network.apply({"params": variables.params}, prompt[:, :-1], carry, label)

        def step(token: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
            return self.network.apply({"params": variables.params}, token, carry, label, method="step")

        keys = row_keys(drawing, row)
        drawn, log_prob = generate(step, carry, prompt[:, -1], length, keys, self.temperature, self.top_k)
        tokens = jnp.concatenate([prompt, drawn], axis=1)  # [B, P+L]
        if self.spec.image is not None:
            example = {"image": drawn.reshape(-1, *self.spec.image).astype(jnp.uint8)}
        else:
            example = {"tokens": tokens}
        if "label" in given:
            example["label"] = label
        known = {} if label is None else {"label": label}
        return Trajectory({"row": row, **known}, tokens, log_prob, example)

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, L] nats of the tokens drawn, all in one parallel pass."""
        tokens, length = trajectory.actions, trajectory.log_prob.shape[1]
        label = trajectory.given.get("label")
        logits, _ = self.network.apply({"params": variables.params}, tokens[:, :-1], None, label)
        log_probs = tempered(logits[:, -length:], self.temperature, self.top_k)
        return jnp.take_along_axis(log_probs, tokens[:, -length:, None], axis=-1)[..., 0]

    def _prompt(self, given: Batch, key: Key) -> jax.Array:
        """[B, P] tokens to begin with: "start" for a picture, a text's prompt, or one token drawn evenly."""
        if self.spec.image is not None:
            return jnp.full((len(given["row"]), 1), self.network.vocabulary, jnp.int32)
        if "tokens" not in given:
            return integers(key, given["row"], (1,), self.network.vocabulary)
        if given["tokens"].shape[1] == 0:
            raise UserError("the prompt is empty; give at least one token, or no prompt")
        return jnp.asarray(given["tokens"], jnp.int32)

    @property
    def _streams(self) -> bool:
        return self.spec.continues and self.network.streams

    def _tokens(self, batch: Batch) -> jax.Array:
        """[B, T+1]: what is read and, one place later, what is told."""
        if self.spec.image is None:
            return batch["tokens"]
        return jnp.pad(to_tokens(batch["image"]), ((0, 0), (1, 0)), constant_values=self.network.vocabulary)

    def _label(self, batch: Batch) -> jax.Array | None:
        """[B] classes; "of any class" where the batch names none, None where the data know none."""
        if not self.spec.classes:
            return None
        if "label" in batch:
            return jnp.asarray(batch["label"], jnp.int32)
        return jnp.full(len(batch["row"]), self.spec.classes, jnp.int32)

    def _read(self, variables: Variables, batch: Batch, keys: jax.Array | None) -> tuple[jax.Array, Carry | None]:
        """The log-probability [B, T] nats of every token after those before it, and the rows to go on from."""
        tokens, label, carry = self._tokens(batch), self._label(batch), self._carried(variables, batch)
        logits, carry = self._apply(variables, tokens, carry, label, keys, batch)
        return token_log_prob(logits, tokens[:, 1:]), carry if self._streams else None

    def _apply(
        self,
        variables: Variables,
        tokens: jax.Array,
        carry: Carry | None,
        label: jax.Array | None,
        keys: jax.Array | None,
        batch: Batch,
    ) -> tuple[jax.Array, Carry | None]:
        """The network over all tokens but the last, document by document where the batch is packed."""
        documents = (batch["segment"][:, :-1],) if "segment" in batch else ()
        return self.network.apply({"params": variables.params}, tokens[:, :-1], carry, label, keys, *documents)

    def _carried(self, variables: Variables, batch: Batch) -> Carry | None:
        """What each row goes on from; None where all begin at the beginning."""
        if not self._streams:
            return None
        fresh = batch["fresh"]
        return jax.tree.map(
            lambda first, going: jnp.where(fresh.reshape(-1, *[1] * (going.ndim - 1)), first, going),
            self.network.carry(len(fresh), self.spec.length),
            variables.extra.rows,
        )


def _mean(nats: jax.Array, batch: Batch) -> Mean:
    """The mean over the tokens of `nats` [B, T] in the rows that weigh.

    Summed row by row: thousands of nearly equal terms in one sum all round the same way, and differently on each device
    count (law 2).
    """
    size, length = nats.shape
    weight = batch.get("weight", jnp.ones(size))
    if "mask" not in batch:
        return Mean.of(nats.mean(axis=1), weight * length)
    counts = batch["mask"].sum(axis=1)
    return Mean.of(_masked(nats, batch).sum(axis=1) / jnp.maximum(counts, 1), weight * counts)


def _masked(nats: jax.Array, batch: Batch) -> jax.Array:
    """`nats` [B, T] with nothing at the targets that do not count."""
    return jnp.where(batch["mask"], nats, 0.0) if "mask" in batch else nats
