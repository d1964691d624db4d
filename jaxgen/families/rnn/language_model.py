"""The task of the recurrent wing: the exact likelihood of token sequences, be they text or the pixels of a picture."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.errors import UserError
from jaxgen.families.rnn.network import Carry, RecurrentNetwork
from jaxgen.ops.pictures import to_tokens
from jaxgen.ops.rows import integers, row_keys
from jaxgen.ops.sequences import generate, token_log_prob
from jaxgen.types import Batch, Extra, Key, Spec, Variables


@dataclass(frozen=True)
class LanguageModel:
    """Maximum likelihood, one token after another.

    A picture is its levels in raster order after a start token, under its label where there is one. A text that
    `continues` from batch to batch is read with truncated back-propagation: the state is carried in `extra.rows`, no
    gradient flows across batches, and a `fresh` row starts from nothing. Samples are drawn at `temperature` from the
    `top_k` likeliest tokens (None: from all); likelihoods know neither.
    """

    network: RecurrentNetwork = RecurrentNetwork()
    temperature: float = 1.0
    top_k: int | None = None
    spec: Spec | None = None
    bound = "exact"

    def __post_init__(self):
        if self.temperature < 0:
            raise UserError(f"temperature is {self.temperature}; give 0 (the likeliest token) or more")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k is {self.top_k}; give at least 1, or none for all tokens")
        if not self.network.context or min(self.network.context) < 1:
            raise UserError(
                f"network.context is {self.network.context}; give the distances of earlier tokens, from 1 on"
            )

    def for_spec(self, spec: Spec) -> "LanguageModel":
        if spec.image is None and not spec.length:
            raise UserError("a LanguageModel learns pictures or tokens, and these data have neither")
        vocabulary = spec.vocabulary if spec.image is None else spec.levels
        if self.top_k is not None and self.top_k > vocabulary:
            raise UserError(f"top_k is {self.top_k}, but these data have {vocabulary} tokens; give no more than that")
        positions = 0 if spec.image is None else math.prod(spec.image)
        network = self.network.clone(vocabulary=vocabulary, classes=spec.classes, positions=positions)
        return replace(self, network=network, spec=spec)

    def init(self, key: Key) -> Variables:
        label = jnp.zeros(1, jnp.int32) if self.spec.classes else None
        variables = self.network.init(key, jnp.zeros((1, 1), jnp.int32), self.network.carry(1), label)
        return Variables(variables["params"], Extra())

    def rows(self, batch_size: int) -> Carry | None:
        """The state before a stream's first batch; None for pictures and lone sequences, which carry nothing."""
        return self.network.carry(batch_size) if self.spec.continues else None

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("likelihood", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over tokens (or pixels' channels) of -log p, nats."""
        log_prob, rows = self._read(variables, batch, self._carried(variables, batch), row_keys(key, batch["row"]))
        return _mean(-log_prob, batch), Aux(rows=rows)

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats, exact: of a picture under its label, or of `tokens` after their first, read from no state."""
        carry = self.network.carry(len(_content(batch)))
        return self._read(variables, batch, carry, None)[0].sum(axis=1)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Carry | None]:
        log_prob, rows = self._read(variables, batch, self._carried(variables, batch), None)
        return {"nats": _mean(-log_prob, batch)}, rows

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        nats = sums["nats"].value
        if self.spec.image is not None:
            return {"nats_per_token": nats, "bits_per_dim": nats / math.log(2)}
        return {"nats_per_token": nats, "bits_per_character": nats / math.log(2), "perplexity": jnp.exp(nats)}

    def sample(self, variables: Variables, count: int, given: Batch, key: Key) -> Batch:
        """Pictures {"image" [count, H, W, C], "label"} or texts {"tokens" [count, P+L]}: the prompt and what follows.

        `given` may hold "label" [count] (else the classes take turns) and for text a prompt "tokens" [count, P];
        without one the first token is drawn evenly. L is the length of the training sequences.
        """
        drawing, prompting = jax.random.split(key)
        row = jnp.arange(count)
        known = {}
        if self.spec.classes:
            known["label"] = jnp.asarray(given.get("label", row % self.spec.classes), jnp.int32)
        prompt = self._prompt(given, prompting, row)
        params, label, carry = variables.params, known.get("label"), self.network.carry(count)
        if prompt.shape[1] > 1:
            _, carry = self.network.apply({"params": params}, prompt[:, :-1], carry, label)

        def step(token: jax.Array, carry: Carry) -> tuple[jax.Array, Carry]:
            return self.network.apply({"params": params}, token, carry, label, method="step")

        length = self.spec.length if self.spec.image is None else math.prod(self.spec.image)
        keys = row_keys(drawing, row)
        tokens, _ = generate(step, carry, prompt[:, -1], length, keys, self.temperature, self.top_k)
        if self.spec.image is not None:
            return {"image": tokens.reshape(count, *self.spec.image).astype(jnp.uint8), **known}
        return {"tokens": jnp.concatenate([prompt, tokens], axis=1), **known}

    def _prompt(self, given: Batch, key: Key, row: jax.Array) -> jax.Array:
        """[count, P] tokens to begin with: "start" for a picture, a text's prompt, or one token drawn evenly."""
        if self.spec.image is not None:
            return jnp.full((len(row), 1), self.network.vocabulary, jnp.int32)
        if "tokens" not in given:
            return integers(key, row, (1,), self.network.vocabulary)
        if given["tokens"].shape[1] == 0:
            raise UserError("the prompt is empty; give at least one token, or no prompt")
        return jnp.asarray(given["tokens"], jnp.int32)

    def _carried(self, variables: Variables, batch: Batch) -> Carry:
        """The state that each row goes on from."""
        start = self.network.carry(len(_content(batch)))
        if not self.spec.continues:
            return start
        fresh = batch["fresh"]
        return jax.tree.map(
            lambda first, going: jnp.where(fresh.reshape(-1, *[1] * (going.ndim - 1)), first, going),
            start,
            variables.extra.rows,
        )

    def _read(
        self, variables: Variables, batch: Batch, carry: Carry, keys: jax.Array | None
    ) -> tuple[jax.Array, Carry | None]:
        """The log-probability [B, T] nats of every token after those before it, and the rows to go on from."""
        if self.spec.image is not None:
            tokens = jnp.pad(to_tokens(batch["image"]), ((0, 0), (1, 0)), constant_values=self.network.vocabulary)
        else:
            tokens = batch["tokens"]
        label = batch["label"] if self.spec.classes else None
        logits, carry = self.network.apply({"params": variables.params}, tokens[:, :-1], carry, label, keys)
        return token_log_prob(logits, tokens[:, 1:]), carry if self.spec.continues else None


def _content(batch: Batch) -> jax.Array:
    return batch["image"] if "image" in batch else batch["tokens"]


def _mean(nats: jax.Array, batch: Batch) -> Mean:
    """The mean over the tokens of `nats` [B, T] in the rows that weigh.

    Summed row by row: thousands of nearly equal terms in one sum all round the same way, differently on each device
    count (4e-6 of the loss for an untrained network, where one mean over [B] keeps within 1e-6).
    """
    size, length = nats.shape
    return Mean.of(nats.mean(axis=1), batch.get("weight", jnp.ones(size)) * length)
