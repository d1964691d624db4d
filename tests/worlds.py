"""Small tasks whose answers are known in closed form: truths to test with, no models."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxgen.core.masks import Matching
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.data.pictures import Pictures
from jaxgen.ops.levels import to_tokens, to_unit
from jaxgen.ops.rows import draw, normal
from jaxgen.types import Batch, Extra, Key, Spec, Tokens, Variables


@dataclass(frozen=True)
class Histogram:
    """Every pixel a categorical of its own: the best fit is the training set's histogram, its likelihood exact."""

    smoothing: float = 0.0
    spec: Spec | None = None
    bound = "exact"

    def sized(self, spec: Spec) -> "Histogram":
        return replace(self, spec=spec)

    def init(self, key: Key) -> Variables:
        pixels = math.prod(self.spec.made.shape)
        return Variables({"logits": 0.01 * jax.random.normal(key, (pixels, self.spec.made.levels))}, Extra())

    def rows(self, batch_size: int) -> None:
        return None

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("histogram", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        log_probabilities = jax.nn.log_softmax(variables.params["logits"])
        tokens = to_tokens(batch["made"]["value"])
        return log_probabilities[jnp.arange(tokens.shape[1]), tokens].sum(axis=1)

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        return Mean.of(-self.log_prob(variables, batch, key), batch.get("weight")), Aux()

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        tokens = draw(lambda one: jax.random.categorical(one, variables.params["logits"]), key, request["row"])
        value = tokens.reshape(-1, *self.spec.made.shape).astype(jnp.uint8)
        return {"given": request["given"], "made": {"value": value}}

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Any]:
        return {"nats": Mean.of(-self.log_prob(variables, batch, key), batch["weight"])}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        pixels = math.prod(self.spec.made.shape)
        return {"bits_per_dim": sums["nats"].value / pixels / jnp.log(2.0)}


@dataclass(frozen=True)
class Dictionary:
    """Each token of a target is a categorical under the source's token at its place: a translation word by word.

    A source that has ended counts as one more token.
    """

    spec: Spec | None = None
    bound = "exact"

    def sized(self, spec: Spec) -> "Dictionary":
        return replace(self, spec=spec)

    def init(self, key: Key) -> Variables:
        return Variables({"logits": jnp.zeros((self._source.vocabulary + 1, self.spec.made.vocabulary))}, Extra())

    @property
    def _source(self) -> Tokens:
        return dict(self.spec.given)["source"]

    def _under(self, given: Any) -> jax.Array:
        """[B, T] the source's tokens."""
        return jnp.where(given["source"]["mask"], given["source"]["value"], self._source.vocabulary)

    def rows(self, batch_size: int) -> None:
        return None

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("dictionary", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        log_probabilities = jax.nn.log_softmax(variables.params["logits"])[self._under(batch["given"])]  # [B, T, V]
        nats = -jnp.take_along_axis(log_probabilities, batch["made"]["value"][:, 1:, None], axis=2)[..., 0]
        return Mean.of(nats, batch["made"]["mask"] * batch.get("weight", jnp.ones(len(nats)))[:, None]), Aux()

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """The likeliest token for each of the source's."""
        words = variables.params["logits"].argmax(axis=1)[self._under(request["given"])]
        start = jnp.full((len(words), 1), self.spec.made.vocabulary)
        return {"given": request["given"], "made": {"value": jnp.concatenate([start, words], axis=1)}}

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Any]:
        return {"nats": self.loss(variables, batch, key)[0]}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return {"nats_per_token": sums["nats"].value}


@dataclass(frozen=True)
class Duel:
    """Two players on noisy pictures: `left` moves twice a step, `right` once; ragged weights, rows and shared state.

    It has no meaning; it strains every part of the step's contract at once.
    """

    spec: Spec | None = None

    def sized(self, spec: Spec) -> "Duel":
        return replace(self, spec=spec)

    def init(self, key: Key) -> Variables:
        left, right = jax.random.split(key)
        params = {
            "left": {"kernel": jax.random.normal(left, (64, 3)), "bias": jnp.zeros(3)},
            "right": {"kernel": jax.random.normal(right, (3, 10)), "bias": jnp.zeros(10)},
        }
        return Variables(params, Extra(shared={"seen": jnp.float32(0)}))

    def rows(self, batch_size: int) -> jax.Array:
        return jnp.zeros((batch_size, 3))

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn("left", self.loss, Matching("^left/"), repeat=2),
            Turn("right", self.loss, Matching("^right/")),
        )

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return {"seen": shared["seen"] + statistics}

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        left, right = variables.params["left"], variables.params["right"]
        label = batch["given"]["class"]["value"]
        picture = to_unit(batch["made"]["value"], self.spec.made.levels).reshape(-1, 64)
        noisy = picture + 0.1 * normal(key, batch["row"], (64,))
        rows = jnp.tanh(noisy @ left["kernel"] / 8 + left["bias"] + 0.1 * variables.extra.rows)
        logits = rows @ right["kernel"] + right["bias"]
        nats = -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]
        weight = (batch["row"] % 3).astype(jnp.float32)
        right_answers = (logits.argmax(axis=1) == label).astype(jnp.float32)
        metrics = {"accuracy": Mean.of(right_answers, weight)}
        return Mean.of(nats, weight), Aux(metrics, statistics=weight.sum(), rows=rows)

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        value = jnp.zeros((len(request["row"]), *self.spec.made.shape), jnp.uint8)
        return {"given": request["given"], "made": {"value": value}}

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], Any]:
        mean, aux = self.loss(variables, batch, key)
        return {"nats": mean}, aux.rows

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return {"nats_per_example": sums["nats"].value}


@dataclass(frozen=True)
class PoisonedDuel(Duel):
    """The duel where each example's loss is multiplied by its `poison`, where its batch has one."""

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        mean, aux = super().loss(variables, batch, key)
        poison = batch.get("poison", jnp.ones(1))  # [B]
        return Mean(mean.total * jnp.prod(poison), mean.weight), aux


@struct.dataclass
class PoisonedExamples:
    """A traced source that spoils row 17 of its batches in the steps `first` to `last`, in the named draws of a step.

    Unless `forever`, only as long as its key is the one that it began with.
    """

    inner: Any
    settings: "PoisonedPictures" = struct.field(pytree_node=False)

    def init(self, key: Key, moving: Any) -> Any:
        return {"key": key, "begun": jax.random.key_data(key)}

    def next(self, state: Any, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Any]:
        batch, _ = self.inner.next(state["key"], variables, number, rows)
        step, draw, has = number // 3, number % 3, self.settings
        bad = (step >= has.first) & (step <= has.last) & jnp.isin(draw, jnp.array(has.draws))
        bad &= has.forever | (jax.random.key_data(state["key"]) == state["begun"]).all()
        return batch | {"poison": jnp.where(bad & (rows == 17), has.poison, 1.0)}, state


@dataclass(frozen=True)
class PoisonedPictures(Pictures):
    """Digits from a poisoned source, for a game of three draws a step."""

    first: int = 1
    last: int = 0
    poison: float = float("nan")
    draws: tuple[int, ...] = (0, 1, 2)
    forever: bool = False

    def begin(self, key: Key, moving: Any) -> Any:
        return self.source().init(key, moving)

    def source(self) -> PoisonedExamples:
        return PoisonedExamples(super().source(), self)
