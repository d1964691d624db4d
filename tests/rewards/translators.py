"""A translator so small that every sequence can be listed: of a and b to at most two of a and b, and their end."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.tokenizers import Alphabet
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import TokenSampler
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Meaning
from jaxgen.rewards.prompts import Prompts
from jaxgen.types import Framing, Spec, Tokens, Variables

SPEC = Spec(Tokens(3, 3, framing=Framing.TARGET), (("source", Tokens(3, 2, framing=Framing.SOURCE)),))
START, END = 3, 2
EVERY = np.array([[3, *tokens, *[2] * (3 - len(tokens))] for tokens in
                  [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]], np.int32)  # fmt: skip
SOURCES = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]], np.int32)
LENGTHS = np.array([1, 2, 2, 3, 1])
EXAMPLES = {
    "given": {"source": {"value": SOURCES, "mask": np.arange(3) < LENGTHS[:, None]}},
    "made": {"value": EVERY[[2, 3, 4, 6, 1]], "mask": np.ones((5, 3), bool)},
}
PROMPTS = Prompts.of(SPEC, EXAMPLES)
PLAIN = Presentation.of(SPEC, {name: Meaning("letters", codec=Alphabet("ab")) for name in ("source", "made")}).plain


@functools.cache
def translator(seed: int = 7) -> tuple[SequenceToSequence, Variables]:
    """A sized task and parameters none of which is zero."""
    network = RecurrentEncoderDecoder(width=6, embedding=4, dropout=0.0)
    task = SequenceToSequence(network, sampler=TokenSampler()).sized(SPEC)
    variables = jax.jit(task.init)(jax.random.key(0))
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    moved = [leaf + 0.5 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return task, variables.replace(params=jax.tree.unflatten(tree, moved))


def log_probs(task: SequenceToSequence, variables: Variables, prompt: int) -> jax.Array:
    """[7] nats of every sequence made for one prompt."""
    given = jax.tree.map(lambda array: jnp.asarray(array)[np.full(len(EVERY), prompt)], EXAMPLES["given"])
    mask = np.cumsum(EVERY[:, 1:] == END, axis=1) <= 1  # up to the end, itself counted
    mask[:, 2] = False  # the last place can hold nothing but the end
    made = {"value": jnp.asarray(EVERY), "mask": jnp.asarray(mask)}
    batch = {"row": jnp.arange(len(EVERY)), "given": given, "made": made}
    logits = task._logits(variables, batch, None)
    nats = jnp.take_along_axis(jax.nn.log_softmax(logits), made["value"][:, 1:, None], axis=-1)[..., 0]
    return jnp.where(mask, nats, 0.0).sum(axis=1)


@dataclass(frozen=True)
class Agreement:
    """The fraction of places that are the reference's, and a bonus where what was made begins as what was given."""

    def prepare(self, spec: Spec) -> Any:
        return {}

    def __call__(self, prepared: Any, example: Any) -> jax.Array:
        made, reference = example["made"]["value"][:, 1:], example["reference"]["value"][:, 1:]
        begins = made[:, 0] == example["given"]["source"]["value"][:, 0]
        return (made == reference).mean(axis=1, dtype=jnp.float32) + 0.25 * begins


@dataclass(frozen=True)
class AgreementOfTexts:
    """The same of texts."""

    def __call__(self, given: list[str], made: list[str], reference: list[str]) -> list[float]:
        return [
            sum(a == b for a, b in zip(one.ljust(3, "$"), other.ljust(3, "$"), strict=True)) / 3
            + 0.25 * (one[:1] == source[:1])
            for source, one, other in zip(given, made, reference, strict=True)
        ]
