"""What a network sees of the given: an encoder a modality, hiding at random, and what is drawn where nothing is given.

A `Condition` has one vector an example: the features of every given part one after another, each followed by a flag
that is 1 where the part is hidden (its features are 0 then). A bias-free layer over it (`Conditioned`) is, for a label,
a table of the classes' embeddings with a last row of its own for "of any class" (arXiv 2207.12598's null condition). Of
a sentence the vector has the flag alone; its tokens are the condition's sequence, which the network encodes itself.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from flax.linen.linear import default_embed_init
from jaxtyping import Array, Bool, Float, Int

from jaxgen.errors import UserError
from jaxgen.nn.stems import PictureStem, SpeechStem
from jaxgen.ops.levels import to_unit
from jaxgen.ops.rows import integers, uniform
from jaxgen.types import Arrays, Batch, Framing, Image, Key, Label, Modality, Spec, Tokens, Wave


@struct.dataclass
class Sequence:
    """What is given as a sequence, whose places a network may look at one by one."""

    values: Int[Array, "B S"] | Float[Array, "B N"] | Float[Array, "B H W C"]  # tokens, samples, a picture in [-1, 1]
    mask: Bool[Array, "B S"] | Bool[Array, "B N"] | None  # what is an example's own; of a picture all of it
    vocabulary: int = struct.field(pytree_node=False, default=0)  # V of tokens


@struct.dataclass
class Condition:
    """What is given, as a network sees it."""

    vector: Float[Array, "B D"]
    sequence: Sequence | None = None  # a sentence; where it is hidden no place is the row's own


@runtime_checkable
class Conditions(Protocol):
    """A user's own modality that can be given to a network."""

    def condition(self, arrays: Arrays) -> jax.Array:
        """[B, D] features of its arrays."""


class Conditioned(nn.Module):
    """[B, features] of a condition: of a label its class's row of a table, rounded to no lower precision."""

    features: int
    kernel_init: nn.initializers.Initializer = default_embed_init

    @nn.compact
    def __call__(self, condition: Condition) -> Float[Array, "B features"]:
        kernel = self.param("kernel", self.kernel_init, (condition.vector.shape[-1], self.features), jnp.float32)
        # full precision: a TPU's or a GPU's default would round the rows that the one-hot vector chooses
        return jnp.dot(condition.vector, kernel, precision=jax.lax.Precision.HIGHEST)


def check_conditions(spec: Spec, kind: str, prompts: bool = False) -> None:
    """UserError where something given cannot be seen by a network of a `kind` task; `prompts`: it reads a sentence."""
    sentences = [name for name, modality in spec.given if _is_sentence(modality)] if prompts else []
    if len(sentences) > 1:
        raise UserError(f"a {kind} reads one sentence, and these data give {' and '.join(sentences)}; leave one out")
    for name, modality in spec.given:
        if name not in sentences and not isinstance(modality, Label | Conditions):
            raise UserError(
                f"a {kind} cannot be conditioned on {name}, which is {type(modality).__name__} data; choose data that "
                f"give nothing, or {'a class or a prompt' if prompts else 'a class'}"
            )


def condition_of(spec: Spec, batch: Batch, hidden: Bool[Array, "B"] | None = None) -> Condition | None:
    """The condition of a batch's or request's rows; None where the data give nothing.

    `hidden` [B] rows see none of it, and no row sees a part that is missing in batch["given"].
    """
    if not spec.given:
        return None
    count = len(batch["row"])
    hidden = jnp.zeros(count, bool) if hidden is None else hidden
    parts, sequence = [], None
    for name, modality in spec.given:
        arrays, unseen = batch.get("given", {}).get(name), hidden
        if arrays is None:
            arrays = {key: jnp.zeros((count, *shape), dtype) for key, (shape, dtype) in modality.arrays().items()}
            unseen = jnp.ones(count, bool)
        if _is_sentence(modality):
            sequence = Sequence(arrays["value"], arrays["mask"] & ~unseen[:, None], modality.vocabulary)
        parts.append(_flagged(_features(modality, arrays), unseen))
    return Condition(jnp.concatenate(parts, axis=-1), sequence)


def one_of_classes(spec: Spec) -> jax.Array | None:
    """[D] numbers whose product with every condition's vector is 1, shown or hidden; None where no class is given."""
    labels = sum(isinstance(modality, Label) for _, modality in spec.given)
    parts = [
        jnp.full(_flagged_size(modality), isinstance(modality, Label) / max(labels, 1), jnp.float32)
        for _, modality in spec.given
    ]
    return jnp.concatenate(parts) if labels else None


def _flagged_size(modality: Modality) -> int:
    """How many of a condition vector's numbers are a modality's."""
    arrays = {key: jnp.zeros((1, *shape), dtype) for key, (shape, dtype) in modality.arrays().items()}
    return jax.eval_shape(lambda: _features(modality, arrays)).shape[-1] + 1


def gives_sentence(spec: Spec) -> bool:
    """Whether what is given is, or has beside it, a sentence."""
    return any(_is_sentence(modality) for _, modality in spec.given)


def _is_sentence(modality: Modality) -> bool:
    return isinstance(modality, Tokens) and modality.framing is Framing.SOURCE


def sequence_sizes(spec: Spec, kind: str, stem: nn.Module | None) -> dict[str, Any]:
    """The fields of a `kind` task's network that what is given decides; UserError where its stem does not suit that."""
    unsuited = UserError(f"a {kind} is given one sentence, recording or picture for each text; choose such data")
    if len(spec.given) != 1:
        raise unsuited
    ((name, modality),) = spec.given
    match modality, stem:
        case Tokens(framing=Framing.SOURCE), None:
            return {"source_vocabulary": modality.vocabulary}
        case Wave(), SpeechStem():
            return {"stem": stem.clone(rate=modality.rate)}
        case Image(), PictureStem():
            stem.grid(modality.height, modality.width)
            return {}
        case Tokens(framing=Framing.SOURCE), _:
            raise UserError(f"the data give sentences ({name}), which need no stem; leave network.stem out")
        case Wave(), _:
            raise UserError(f"the data give recordings ({name}); set network.stem=SpeechStem()")
        case Image(), _:
            raise UserError(f"the data give pictures ({name}); set network.stem=PictureStem()")
    raise unsuited


def sequence_places(spec: Spec, stem: nn.Module | None) -> int:
    """How many places a network has of the sentence or recording that is given, at most."""
    ((_, modality),) = spec.given
    return stem.places(modality.samples) if isinstance(modality, Wave) else modality.length


def empty_sequence(spec: Spec) -> Sequence:
    """A sequence of one row, all zeros, for the shapes of what is given."""
    ((name, modality),) = spec.given
    shapes = {part: jnp.zeros((1, *shape), dtype) for part, (shape, dtype) in modality.arrays().items()}
    return sequence_of(spec, {"given": {name: shapes}})


def sequence_of(spec: Spec, batch: Batch) -> Sequence:
    """The one sequence that is given; UserError where it is missing."""
    ((name, modality),) = spec.given
    arrays = batch.get("given", {}).get(name)
    if arrays is None:
        raise UserError(f"this model makes nothing without a {name}; give one with --given")
    match modality:
        case Wave():
            wave = arrays["value"]
            return Sequence(wave, jnp.arange(wave.shape[1]) < jnp.asarray(arrays["length"])[:, None])
        case Image():
            return Sequence(to_unit(arrays["value"], modality.levels), None)
    return Sequence(arrays["value"], arrays["mask"])


def _features(modality: Modality, arrays: Arrays) -> Float[Array, "B D"]:
    if isinstance(modality, Label):
        return jax.nn.one_hot(arrays["value"], modality.classes, dtype=jnp.float32)
    if _is_sentence(modality):
        return jnp.zeros((len(arrays["value"]), 0), jnp.float32)
    return modality.condition(arrays)


def _flagged(features: jax.Array, hidden: jax.Array) -> jax.Array:
    hidden = hidden[:, None].astype(features.dtype)
    return jnp.concatenate([features * (1 - hidden), hidden], axis=-1)


def hidden_rows(fraction: float, key: Key, row: Int[Array, "B"]) -> Bool[Array, "B"] | None:
    """[B] which rows training hides the given of, drawn for each row; None where it hides none."""
    return uniform(key, row, ()) < fraction if fraction else None


def check_fraction(fraction: float) -> None:
    """UserError when `condition_dropout` is no fraction of the rows."""
    if not 0 <= fraction < 1:
        raise UserError(f"condition_dropout is {fraction}; give a fraction from 0 up to, not including, 1")


def check_any_kind(spec: Spec, fraction: float) -> None:
    """UserError where samples of any kind are drawn, and `condition_dropout` has never trained a model to."""
    if spec.given and not fraction:
        names = " and ".join(name for name, _ in spec.given)
        raise UserError(
            f"this run draws samples without {names}, which the model has never been trained to do; train it with "
            "task.condition_dropout above 0"
        )


def check_given(spec: Spec, request: Batch, fraction: float) -> None:
    """UserError where a request for outputs of pictures gives nothing, and no model was trained to do without."""
    if spec.given and not (request.get("given") or fraction):
        names = " and ".join(name for name, _ in spec.given)
        raise UserError(f"this run was never trained to draw without {names}; give one or more with --given")


def with_drawn(spec: Spec, request: Batch, key: Key) -> dict[str, Any]:
    """The request with classes drawn evenly, a row its own, for each label that it does not give.

    For families that learn no null condition. UserError for anything else that is missing.
    """
    given: dict[str, Mapping] = dict(request.get("given", {}))
    for number, (name, modality) in enumerate(spec.given):
        if name in given:
            continue
        if not isinstance(modality, Label):
            raise UserError(f"this model makes nothing without {name}; give one with --given")
        drawn = integers(jax.random.fold_in(key, number), request["row"], (), modality.classes)
        given[name] = {"value": drawn}
    return {**request, "given": given}
