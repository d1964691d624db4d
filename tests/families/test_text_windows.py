"""A long text is scored and drawn in windows: each token as if its window stood alone, in one program of one shape."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.core.task import InWindows
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.families.text_windows import Windows
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.evaluation import added
from jaxgen.types import Extra, Framing, Spec, Tokens, Variables
from tests.given import pictures

V, T, KEY = 5, 6, jax.random.key(0)
NETWORKS = {
    "transformer": Transformer(width=8, blocks=1, heads=2, hidden=8),
    "rnn": RecurrentNetwork(width=6, embedding=4),
}
TEXT = np.random.default_rng(0).integers(0, V - 1, 31).astype(np.int32)  # V-1 may be an end


@functools.cache
def model(network, framing):
    task = LanguageModel(NETWORKS[network]).sized(Spec(Tokens(T, V, framing=framing)))
    leaves, tree = jax.tree.flatten(jax.eval_shape(task.init, KEY).params)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    drawn = [0.8 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return task, Variables(jax.tree.unflatten(tree, drawn), Extra())


def scored(task, variables, text):
    """The nats, the count of targets and how exact they are; the shapes of the parts."""
    parts, how = task.parts({"made": {"value": text[None]}})
    rows, sums, evaluate = task.rows(len(parts[0]["row"])), None, jax.jit(task.evaluate)
    for part in parts:
        each, rows = evaluate(variables.replace(extra=Extra(rows=rows)), part, KEY)
        sums = added(sums, each)
    return -float(sums["nats"].total), int(sums["nats"].weight), how, {part["made"]["value"].shape for part in parts}


@functools.cache
def reading(network, framing):
    """A program from T tokens to the log-probabilities [T, V] of what follows each."""
    task, variables = model(network, framing)
    apply = lambda tokens: task.network.apply({"params": variables.params}, tokens[None], None, None)[0][0]  # noqa: E731
    return jax.jit(lambda tokens: jax.nn.log_softmax(apply(tokens)))


def alone(network, framing, tokens):
    """[N] nats of each token after those before it, read in one pass with nothing before them."""
    before = tokens[:-1]
    before = np.pad(before, (0, max(0, T - len(before))))  # later tokens are not seen
    return np.asarray(reading(network, framing)(before))[np.arange(len(tokens) - 1), tokens[1:]]


@given(st.integers(2, 90), st.integers(1, 12), st.data())
def test_each_target_is_predicted_once_after_enough_of_its_own_text(size, length, data):
    stride = data.draw(st.integers(1, length))
    text = np.arange(100, 100 + size)
    batches = Windows(length, stride).batches({"value": text[None]}, False)
    assert len({batch["made"]["value"].shape for batch in batches}) == 1
    seen = []
    for batch in batches:
        for value, mask, weight in zip(batch["made"]["value"], batch["made"]["mask"], batch["weight"], strict=True):
            for place in np.flatnonzero(mask) if weight else ():
                seen.append(value[place + 1])
                assert value[place + 1] - value[0] == place + 1  # all that stands before it in the window is the text's
                assert value[0] == 100 or place + 1 >= length - stride + 1
    assert seen == text[1:].tolist()


@pytest.mark.parametrize(
    ("network", "framing"), [("transformer", Framing.STREAM), ("transformer", Framing.PACKED), ("rnn", Framing.PACKED)]
)
def test_a_windows_score_is_that_of_its_tokens_one_by_one(network, framing):
    task, variables = model(network, framing)
    nats, count, how, shapes = scored(task, variables, TEXT)
    stride = T // 2
    expected = 0.0
    for place in range(1, len(TEXT)):
        begin = max(0, -(-(place - T) // stride)) * stride
        expected += alone(network, framing, TEXT[begin : place + 1])[-1]
    np.testing.assert_allclose(nats, expected, rtol=1e-5)
    assert count == len(TEXT) - 1 and how == "exact within windows of 6 characters, stride 3"
    assert isinstance(task, InWindows) and task.bound == "exact within windows of 6 characters"
    (shape,) = shapes
    assert shape[1] == T + 1 and shape[0] <= 16


@pytest.mark.parametrize("framing", [Framing.STREAM, Framing.PACKED])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_short_text_is_exact_and_no_longer_text_needs_larger_shapes(network, framing):
    task, variables = model(network, framing)
    nats, _, how, _ = scored(task, variables, TEXT[: T + 1])
    np.testing.assert_allclose(nats, alone(network, framing, TEXT[: T + 1]).sum(), rtol=1e-5)
    assert how == "exact"
    shapes = [
        {part["made"]["value"].shape for part in task.parts({"made": {"value": np.zeros((1, size), np.int32)}})[0]}
        for size in (60, 600, 6000)
    ]
    assert shapes[0] == shapes[1] == shapes[2] and len(shapes[0]) == 1


def test_a_state_that_goes_on_from_row_to_row_in_training_does_so_in_a_long_text():
    task, variables = model("rnn", Framing.STREAM)
    nats, count, how, shapes = scored(task, variables, TEXT)
    np.testing.assert_allclose(nats, alone("rnn", Framing.STREAM, TEXT).sum(), rtol=1e-5)
    assert (count, how, shapes, task.bound) == (30, "exact", {(1, T + 1)}, "exact")


def test_a_picture_is_read_at_once():
    task = LanguageModel(NETWORKS["rnn"]).sized(pictures((2, 2, 1), levels=3, classes=2))
    assert task.parts({"made": {"value": np.zeros((1, 2, 2, 1), np.uint8)}}) is None and task.bound == "exact"


@pytest.mark.parametrize("prompt", [1, 4, T, 2 * T + 1])
def test_a_long_sample_is_drawn_by_the_windows_that_score_it(prompt):
    task, variables = model("transformer", Framing.STREAM)
    request = {"row": np.arange(3), "made": {"value": np.stack([TEXT[:prompt]] * 3)}}
    drawn = jax.jit(task.rollout)(variables, request, KEY)
    assert drawn.actions.shape == (3, prompt + T) and drawn.log_prob.shape == (3, T)
    np.testing.assert_allclose(task.score(variables, drawn), drawn.log_prob, rtol=1e-4, atol=1e-5)
    whole, before = (scored(task, variables, text)[0] if len(text) > 1 else 0.0 for text in cut(drawn, prompt))
    np.testing.assert_allclose(drawn.log_prob[0].sum(), whole - before, rtol=1e-4, atol=1e-4)


def cut(drawn, prompt):
    tokens = np.asarray(drawn.actions[0])
    return tokens, tokens[:prompt]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_document_begins_at_start_and_ends_when_it_likes(network):
    task, variables = model(network, Framing.PACKED)
    drawn = jax.jit(task.rollout)(variables, {"row": np.arange(400)}, KEY)
    tokens, log_prob = np.asarray(drawn.actions), np.asarray(drawn.log_prob)
    assert tokens.shape == (400, T + 1) and (tokens[:, 0] == V).all() and task.end == V - 1
    ended = np.maximum.accumulate(tokens == V - 1, axis=1)
    assert (tokens[ended] == V - 1).all() and not log_prob[ended[:, :-1]].any() and ended[:, -1].any()
    assert log_prob[~ended[:, :-1]].all()
    np.testing.assert_allclose(task.score(variables, drawn), log_prob, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_probabilities_of_all_documents_up_to_a_size_and_of_longer_ones_sum_to_one(network):
    task, variables = model(network, Framing.PACKED)
    end, start, total = V - 1, V, 0.0
    whole = [text for size in range(3) for text in itertools.product(range(end), repeat=size)]
    begun = list(itertools.product(range(end), repeat=3))
    log_prob = jax.jit(task.log_prob)
    for texts, last in ((whole, [end]), (begun, [])):
        rows = [[start, *text, *last] for text in texts]
        value = np.array([row + [0] * (5 - len(row)) for row in rows], np.int32)
        mask = np.array([[place < len(row) - 1 for place in range(4)] for row in rows])
        total += np.exp(
            log_prob(variables, {"made": {"value": value, "mask": mask}, "row": np.arange(len(rows))}, KEY)
        ).sum()
    assert abs(total - 1) < 1e-5
