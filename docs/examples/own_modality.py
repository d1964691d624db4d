"""A modality of one's own: vectors are given and made, and no file of jaxgen's knows what they are.

    jaxgen train --config docs/examples/own_modality.py --workdir runs/own_modality
    jaxgen sample --workdir runs/own_modality --config docs/examples/own_modality.py --given 1,0 0,1
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.data.sources import ResidentExamples, padded_batches
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.modalities.inputs import text_of
from jaxgen.nn.conditions import check_conditions, condition_of
from jaxgen.ops.rows import normal
from jaxgen.reporting.artefacts import Artefact
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Batch, Extra, Key, Modality, Spec, Variables

TRUE = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)  # what a given vector is multiplied by


@dataclass(frozen=True)
class Vector(Modality):
    """`value` [B, size] float32."""

    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    def arrays(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        return {"value": (self.shape, jnp.float32)}

    def condition(self, arrays: Mapping[str, jax.Array]) -> jax.Array:
        return arrays["value"]

    def presents(self, meaning: Any) -> "VectorPresents":
        return VectorPresents(self)


@dataclass(frozen=True)
class VectorPresents:
    """Vectors as numbers with commas between."""

    vector: Vector
    shown = 3

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        return {"value": np.stack([self._numbers(text_of(word)) for word in words])}

    def _numbers(self, text: str) -> np.ndarray:
        try:
            numbers = np.array([float(part) for part in text.split(",")], np.float32)
        except ValueError:
            numbers = np.zeros(0)
        if len(numbers) != self.vector.size:
            raise UserError(f"{text!r} is no vector of {self.vector.size} numbers; write them as 1,2")
        return numbers

    def captions(self, arrays: Mapping[str, np.ndarray]) -> list[str]:
        return [",".join(f"{number:.3f}" for number in row) for row in arrays["value"]]

    def show(self, arrays: Mapping[str, np.ndarray], captions: Sequence[str] | None) -> Artefact:
        lines = zip(captions or [""] * len(arrays["value"]), self.captions(arrays), strict=True)
        return Artefact("txt", "\n".join(f"{given} -> {made}" for given, made in lines).encode())


@dataclass(frozen=True)
class Lines:
    """Random vectors, and each times TRUE."""

    batch_size: int = 16
    name = "lines"

    def spec(self) -> Spec:
        return Spec(Vector(2), (("input", Vector(2)),))

    def first(self, split: str, count: int) -> dict[str, Any]:
        x = np.random.default_rng(len(split)).standard_normal((count, 2)).astype(np.float32)
        return {"given": {"input": {"value": x}}, "made": {"value": x @ TRUE}}

    def source(self) -> ResidentExamples:
        return ResidentExamples(self.first("train", 64), self.spec(), self.batch_size)

    def evaluation(self, split: str) -> dict[str, Any]:
        return padded_batches(self.first(split, 20), self.batch_size)


@dataclass(frozen=True)
class Linear:
    """A regression by least squares; samples are its mean with a little noise."""

    spec: Spec | None = None

    def sized(self, spec: Spec) -> "Linear":
        check_conditions(spec, "Linear")
        return replace(self, spec=spec)

    def init(self, key: Key) -> Variables:
        inputs = condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)}).vector.shape[-1]
        return Variables({"kernel": jnp.zeros((inputs, *self.spec.made.shape))}, Extra())

    def rows(self, batch_size: int) -> None:
        return None

    def turns(self) -> tuple[Turn, ...]:
        return (Turn("squares", self.loss),)

    def absorb(self, shared: Any, statistics: Any) -> Any:
        return shared

    def mean(self, variables: Variables, request: Batch) -> jax.Array:
        return condition_of(self.spec, request).vector @ variables.params["kernel"]

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        error = (self.mean(variables, batch) - batch["made"]["value"]) ** 2
        return Mean.of(error.sum(axis=1), batch.get("weight")), Aux()

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        return {"squares": self.loss(variables, batch, key)[0]}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        return {"squared_error": sums["squares"].value}

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        made = self.mean(variables, request)
        noise = 1e-4 * normal(key, request["row"], made.shape[1:])
        return {"given": request["given"], "made": {"value": made + noise}}


def experiment() -> Experiment:
    optimisers = {"squares": AdamW(learning_rate=0.1)}
    every = Every(log=50, evaluate=100, sample=100, checkpoint=50)
    return Experiment(Linear(), Lines(), optimisers, steps=200, steps_per_call=10, every=every)
