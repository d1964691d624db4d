"""Documents packed into a row are read as if each were alone: logits, losses and gradients, for every network."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.documents import pack
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from jaxgen.types import Extra, Framing, Spec, Tokens, Variables

V, T = 7, 11
SPEC = Spec(Tokens(T, V, framing=Framing.PACKED))
NETWORKS = {
    "lstm": RecurrentNetwork(width=6, embedding=4, layers=2, token_shifts=(1, 3), head=5),
    "gru": RecurrentNetwork(cell=Cell.GRU, width=6, embedding=4),
    "min_gru": RecurrentNetwork(cell=Cell.MIN_GRU, width=6, embedding=4),
    "rg_lru": RecurrentNetwork(cell=Cell.RG_LRU, width=6, embedding=4),
    "transformer": Transformer(width=8, blocks=2, heads=2, hidden=12, token_shifts=(1, 2)),
}
DOCUMENTS = [np.random.default_rng(size).integers(0, V, size).astype(np.int32) for size in (5, 3, 12, 2, 7, 4)]
MADE = pack(DOCUMENTS, T)["made"]
ROWS = {"made": MADE, "row": np.arange(3)}


@pytest.fixture(scope="module", params=NETWORKS)
def world(request):
    task = LanguageModel(NETWORKS[request.param]).sized(SPEC)
    leaves, tree = jax.tree.flatten(jax.eval_shape(task.init, jax.random.key(0)).params)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    drawn = [0.8 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return task, Variables(jax.tree.unflatten(tree, drawn), Extra())


def alone(document):
    """A document in a row of its own, as long as all the others for the sake of one program."""
    return pack([document], T)["made"]


def test_logits_are_those_of_each_document_alone(world):
    task, variables = world
    apply = jax.jit(lambda tokens, *segment: task.network.apply({"params": variables.params}, tokens, *segment)[0])
    packed = apply(MADE["value"][:, :-1], None, None, None, MADE["segment"][:, :-1])
    found = 0
    for row, segment in enumerate(MADE["segment"]):
        for number in range(1, segment.max() + 1):
            places = np.flatnonzero(segment[:-1] == number)
            document = MADE["value"][row][segment == number]
            lone = apply(alone(document)["value"][:, :-1], None, None, None)
            np.testing.assert_allclose(packed[row, places], lone[0, : len(places)], atol=1e-5, rtol=1e-5)
            found += len(document) - 1
    assert found == sum(len(document) - 1 for document in DOCUMENTS) and len(MADE["value"]) == 3 < len(DOCUMENTS)


def test_losses_and_gradients_are_the_sums_over_the_documents(world):
    task, variables = world

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def total(params, batch):
        mean, _ = task.loss(Variables(params, Extra()), batch, jax.random.key(1))
        return mean.total, (mean.weight, task.log_prob(Variables(params, Extra()), batch, None).sum())

    lone = [alone(document) for document in DOCUMENTS]
    together = {"made": jax.tree.map(lambda *parts: np.concatenate(parts), *lone), "row": np.arange(6)}
    packed = jax.tree.map(lambda array: np.concatenate([array, np.zeros_like(array)]), ROWS)  # one program
    (of_packed, (weight, log_prob)), gradient = total(variables.params, packed)
    (of_lone, (lone_weight, _)), other = total(variables.params, together)
    np.testing.assert_allclose([of_packed, -log_prob], [of_lone] * 2, rtol=1e-5)
    assert weight == lone_weight == sum(len(document) - 1 for document in DOCUMENTS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4), gradient, other)


def test_evaluation_counts_each_target_once(world):
    task, variables = world
    weight = jnp.array([1.0, 0.0, 1.0])
    sums, rows = jax.jit(task.evaluate, static_argnums=2)(variables, {**ROWS, "weight": weight}, None)
    assert rows is None and sums["nats"].weight == MADE["mask"][[0, 2]].sum()
    assert task.rows(3) is None
