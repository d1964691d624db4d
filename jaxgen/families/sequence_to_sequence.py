"""The task of encoder and decoder: a sequence made for a sentence that is given, as in translation.

It belongs to no family: a family brings the network, which encodes the given and gives the next tokens' logits.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp

from jaxgen.core.layout import Rule
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Trajectory, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.ctc_task import text_log_prob
from jaxgen.families.one_network import OneNetwork
from jaxgen.families.token_likelihood import (
    at_first,
    likelihood_figures,
    likelihood_sums,
    masked,
    mean_over_tokens,
)
from jaxgen.families.token_samplers import BeamSearch, TokenSampler
from jaxgen.families.while_reading import Carry, Reading, WhileReading
from jaxgen.nn.conditions import Sequence, empty_sequence, sequence_of, sequence_sizes
from jaxgen.nn.multi_head_attention import Wait
from jaxgen.ops.decoding import beam_search, draw_until
from jaxgen.ops.rows import integers, row_keys
from jaxgen.ops.sequences import tempered, token_log_prob
from jaxgen.types import Batch, Extra, Framing, Key, Spec, Tokens, Unit, Variables

Memory = Any  # what a network has of the given; every leaf with the batch leading


class Network(Protocol):
    """A Linen module of an encoder and a decoder, whose two sizes come from the data; token V is "start".

    A decoder's rows are N: the B sentences given, or several for each of them, side by side.
    """

    source_vocabulary: int
    vocabulary: int  # V
    stem: Any  # the first layers over a recording or a picture; None over a sentence
    align: bool  # whether it has a layer for CTC over what it encodes
    reads: int | None  # how many places given it reads at a time, none of which knows of later ones; None: all
    layout: ClassVar[tuple[Rule, ...]]  # how its parameters lie over a mesh

    def __call__(
        self, given: Sequence, tokens: jax.Array, keys: jax.Array | None = None, wait: Wait | None = None
    ) -> jax.Array:
        """Logits [B, T, V] of what follows each of `tokens` [B, T]; `keys` [B] draw each row's dropout."""

    def encode(self, given: Sequence, keys: jax.Array | None = None, wait: Wait | None = None) -> Memory:
        """Where it is to `wait`, token t is decoded with the places given that it may see by then."""

    def aligned(
        self, given: Sequence, tokens: jax.Array, keys: jax.Array | None = None, wait: Wait | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The logits of a call, and those [B, S, V] of the token that each place given tells, and its own places."""

    def carry(self, memory: Memory, beams: int, length: int) -> Carry:
        """The state before the first token of `beams` sequences for each row, with room for `length` tokens."""

    def grown(self, carry: Carry, length: int) -> Carry:
        """A carry with room for `length` tokens in all."""

    def begin(self, batch_size: int, places: int, wait: Wait | None) -> Reading:
        """The state before the first window of what is given, which has so many places at most."""

    def read(self, given: Sequence, reading: Reading) -> Reading:
        """The state after the next `reads` places; a recording's come as `SpeechStem.continued` has them."""

    def decode(self, memory: Memory, tokens: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Logits [N, T, V] of what follows each of `tokens` [N, T]."""

    def step(self, memory: Memory, token: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
        """Logits [N, V] of what follows `token` [N], and the state after it."""


@dataclass(frozen=True)
class SequenceToSequence(OneNetwork, WhileReading):
    """Maximum likelihood of the sequence made, token by token, under the sentence given (teacher forcing).

    `label_smoothing` is the share of each target that is spread over all tokens (arXiv 1512.00567); likelihoods and
    `evaluate` know nothing of it. What is made is searched for, or drawn, by `sampler`. `ctc` is the share of CTC's
    loss over what is encoded (arXiv 1609.06773, eq. 8). With `waits` (low, high) a network is trained to translate
    while it reads: token t sees the first (t + k) * stride places given, k drawn for each row (arXiv 2005.08595).
    Tokens are made of words, and a word spans many places of a recording: `stride` is about as many as a token does.
    """

    network: Network
    sampler: BeamSearch | TokenSampler = BeamSearch()
    label_smoothing: float = 0.1
    ctc: float = 0.0
    waits: tuple[int, int] | None = None
    stride: int = 1  # places given that are read between one token and the next (arXiv 2011.02048, section 3)
    spec: Spec | None = None  # from the data
    unit: Unit | None = None  # of the tokens made; from the data
    bound = "exact"
    needs_given = True

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing is {self.label_smoothing}; give a share from 0 up to, not including, 1")
        if not 0 <= self.ctc < 1:
            raise UserError(f"task.ctc is {self.ctc}; give a share from 0 up to, not including, 1 (task=CTC alone)")
        if self.waits is not None and not 1 <= self.waits[0] <= self.waits[1]:
            raise UserError(f"task.waits is {self.waits}; give the least and the greatest k, from 1 on, or none")
        if self.stride < 1:
            raise UserError(f"task.stride is {self.stride}; give at least 1 place given for each token")

    def sized(self, spec: Spec) -> "SequenceToSequence":
        sizes = sequence_sizes(spec, "SequenceToSequence", self.network.stem)
        match spec.made:
            case Tokens(framing=Framing.TARGET) as tokens:
                vocabulary = tokens.vocabulary
            case _:
                raise UserError("a SequenceToSequence makes a sentence for one that is given; give data=Pairs(...)")
        if isinstance(self.sampler, TokenSampler):
            self.sampler.check_vocabulary(vocabulary)
        if self.waits or self.sampler.wait_k:
            self._check_order()
        network = self.network.clone(vocabulary=vocabulary, align=self.ctc > 0, **sizes)
        return replace(self, network=network, spec=spec, unit=tokens.unit)

    def _check_order(self) -> None:
        """UserError where a token would know of places that it has to make do without."""
        if (reads := self.network.reads) is None or self.stride % reads:
            raise UserError(
                "to translate while it reads a network must read in order; set network.bidirectional=false (RNN) or "
                f"network.chunk=1 (Transformer; or another divisor of task.stride, {self.stride}) and train it so"
            )

    @property
    def length(self) -> int:
        """T: the tokens that a sequence has at most, its end among them."""
        return self.spec.made.length

    @property
    def end(self) -> int:
        return self.network.vocabulary - 1

    @property
    def start(self) -> int:
        return self.network.vocabulary

    def init(self, key: Key) -> Variables:
        nothing, start = empty_sequence(self.spec), jnp.zeros((1, 1), jnp.int32)
        method = "aligned" if self.ctc else None
        return Variables(self.network.init(key, nothing, start, method=method)["params"], Extra())

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over tokens of the smoothed cross-entropy, nats; `nats_per_token` is the one without smoothing."""
        keys = row_keys(key, batch["row"])
        wait = self._drawn_waits(key, batch["row"])
        if self.ctc:
            return self._joint_loss(variables, batch, keys, wait)
        logits = self._logits(variables, batch, keys, wait)
        return self._smoothed(logits, batch)

    def _joint_loss(
        self, variables: Variables, batch: Batch, keys: jax.Array, wait: Wait | None
    ) -> tuple[Mean, Aux]:
        """(1 - ctc) of the decoder's cross-entropy and ctc of CTC's nats, both over the tokens."""
        tokens, given = batch["made"]["value"], sequence_of(self.spec, batch)
        apply, params = self.network.apply, {"params": variables.params}
        logits, of_places, own = apply(params, given, tokens[:, :-1], keys, wait, method="aligned")
        decoded, aux = self._smoothed(logits, batch)
        log_prob, fits = text_log_prob(of_places, own, batch, self.end)
        weight = batch.get("weight", jnp.ones(len(fits), jnp.float32))
        aligned = mean_over_tokens(at_first(-log_prob * fits, batch), batch)
        both = (1 - self.ctc) * decoded.total + self.ctc * aligned.total
        metrics = {"ctc_nats_per_token": aligned, "texts_too_long": Mean.of(1.0 - fits, weight)}
        return Mean(both, decoded.weight), Aux(aux.metrics | metrics)

    def _smoothed(self, logits: jax.Array, batch: Batch) -> tuple[Mean, Aux]:
        tokens = batch["made"]["value"]
        nats = -token_log_prob(logits, tokens[:, 1:])  # [B, T]
        metrics = {"nats_per_token": mean_over_tokens(nats, batch)}
        even = jax.nn.logsumexp(logits, axis=-1) - logits.mean(axis=-1)  # the cross-entropy of all tokens alike
        smoothed = (1 - self.label_smoothing) * nats + self.label_smoothing * even
        return mean_over_tokens(smoothed, batch), Aux(metrics)

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats, exact: of the sequence made, its end counted, under what is given."""
        return masked(self._log_prob(variables, batch), batch).sum(axis=1)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return likelihood_sums(self._log_prob(variables, batch), batch, self.unit), None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return likelihood_figures(sums, self.unit)

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is made for each row: tokens [B, T+1] from "start" on, ends after the end.

        A beam gives "score" [B] too, and where it tells several, "alternatives" [B, best, T+1] and "scores" [B, best].
        """
        if isinstance(self.sampler, TokenSampler):
            return self.rollout(variables, request, key).example
        memory, step = self._encoded(variables, request)
        width, rows = self.sampler.width, len(request["row"])

        def with_room(carry: Carry | None, length: int) -> Carry:
            network = self.network
            return network.carry(memory, width, length) if carry is None else network.grown(carry, length)

        penalty = knobs_of(self.sampler, request)["length_penalty"]
        how = rows, width, self.start, self.end, self.length, penalty
        tokens, _, score = beam_search(step, with_room, *how)
        tokens = jnp.pad(tokens, ((0, 0), (0, 0), (1, 0)), constant_values=self.start)  # [B, W, T+1]
        made = {"value": tokens[:, 0], "score": score[:, 0]}
        if (best := self.sampler.best) > 1:
            made |= {"alternatives": tokens[:, :best], "scores": score[:, :best]}
        return {"given": dict(request["given"]), "made": made}

    def check_policy(self) -> None:
        if not isinstance(self.sampler, TokenSampler):
            raise UserError(
                "task.sampler searches with a beam, and tuning by ScoreFunction draws; give sampler=TokenSampler()"
            )
        self.sampler.check_density()

    def rollout(self, variables: Variables, request: Batch, key: Key) -> Trajectory:
        """An episode for each of request["row"] [B]: an action a token up to the end, after which all are certain."""
        memory, step = self._encoded(variables, request)
        knobs = knobs_of(self.sampler, request)
        first = jnp.full(len(request["row"]), self.start, jnp.int32)
        how = knobs["temperature"], self.sampler.top_k, knobs.get("top_p")
        carry, keys = self.network.carry(memory, 1, self.length), row_keys(key, request["row"])
        drawn, log_prob = draw_until(step, carry, first, self.end, self.length, keys, *how)
        tokens = jnp.concatenate([first[:, None], drawn], axis=1)  # [B, T+1]
        example = {"given": dict(request["given"]), "made": {"value": tokens}}
        return Trajectory({"row": request["row"], "given": example["given"]}, tokens, log_prob, example)

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, T] nats of the tokens drawn, all in one parallel pass; what is certain has none."""
        tokens, sampler = trajectory.actions, self.sampler
        logits = self._read(variables, trajectory.request, tokens, None, self._wait(trajectory.request))
        log_probs = tempered(logits, sampler.temperature, sampler.top_k, sampler.top_p)
        log_prob = jnp.take_along_axis(log_probs, tokens[:, 1:, None], axis=-1)[..., 0]
        place = jnp.arange(self.length)
        certain = (tokens[:, :-1] == self.end) | (place == self.length - 1)  # after the end, and the last of all
        return jnp.where(certain, 0.0, log_prob)

    def attention(self, variables: Variables, samples: Batch) -> jax.Array:
        """[B, T, S]: how much each token made attends to each place given, the mean over heads and layers."""
        given, tokens = sequence_of(self.spec, samples), samples["made"]["value"][:, :-1]
        how = {"mutable": ["intermediates"]}
        wait = self._wait({"row": tokens, **samples})
        _, kept = self.network.apply({"params": variables.params}, given, tokens, None, wait, **how)
        weights = jax.tree.leaves(kept["intermediates"])
        return sum(weights) / len(weights)

    def _encoded(self, variables: Variables, request: Batch) -> tuple[Memory, Any]:
        """What the network has of the given, and its step from token to token."""

        def apply(method: str, *arguments: Any) -> Any:
            return self.network.apply({"params": variables.params}, *arguments, method=method)

        memory = apply("encode", sequence_of(self.spec, request), None, self._wait(request))
        return memory, lambda token, carry: apply("step", memory, token, carry)

    def _drawn_waits(self, key: Key, row: jax.Array) -> Wait | None:
        """A k for each row; None where it is trained on whole sentences."""
        if self.waits is None:
            return None
        low, high = self.waits
        return Wait(low + integers(jax.random.fold_in(key, 1), row, (), high + 1 - low), self.stride)

    def _wait(self, request: Batch) -> Wait | None:
        """The sampler's k for each row; None where it waits for all."""
        wait = knobs_of(self.sampler, request).get("wait_k")
        return None if wait is None else Wait(jnp.full(len(request["row"]), wait, jnp.int32), self.stride)

    def _logits(
        self, variables: Variables, batch: Batch, keys: jax.Array | None, wait: Wait | None = None
    ) -> jax.Array:
        """[B, T, V] of all targets."""
        return self._read(variables, batch, batch["made"]["value"], keys, wait)

    def _read(
        self, variables: Variables, request: Batch, tokens: jax.Array, keys: jax.Array | None, wait: Wait | None
    ) -> jax.Array:
        """Logits [B, T, V] of what follows each but the last of `tokens` [B, T+1] under what `request` gives."""
        given = sequence_of(self.spec, request)
        return self.network.apply({"params": variables.params}, given, tokens[:, :-1], keys, wait)

    def _log_prob(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B, T] nats of every target."""
        logits = self._logits(variables, batch, None, self._wait(batch))
        return token_log_prob(logits, batch["made"]["value"][:, 1:])
