"""The likelihood sums to one, the samples follow it, and a carried state makes many batches one long one."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxgen.core.mean import Mean
from jaxgen.core.task import Likelihood, Task
from jaxgen.errors import UserError
from jaxgen.families.language_model import LanguageModel, TokenSampler
from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from jaxgen.types import Clip, Extra, Framing, Spec, Tokens, Variables
from tests.given import asked, cut, labels_of, pictures, values_of

KEY = jax.random.key(0)
NETWORK = RecurrentNetwork(width=8, embedding=6, token_shifts=(1, 2), head=5, dropout=0.2)
PICTURES = pictures((2, 2, 1), levels=3, classes=2)
STREAM = Spec(Tokens(4, 3, framing=Framing.STREAM))


def model(spec, cell=Cell.LSTM, network=NETWORK):
    """A sized task and lively parameters: fresh ones hold everything equally likely."""
    network = network.clone(cell=cell) if isinstance(network, RecurrentNetwork) else network
    task = LanguageModel(network).sized(spec)
    shapes = jax.eval_shape(task.init, KEY).params
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    drawn = [0.8 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return task, Variables(jax.tree.unflatten(tree, drawn), Extra())


def every_picture(label):
    levels = np.array(list(itertools.product(range(3), repeat=4)), np.uint8)
    return asked(np.full(81, label, np.int32)) | {"made": {"value": levels.reshape(-1, 2, 2, 1)}}


def every_text(first):
    tokens = np.array([(first, *rest) for rest in itertools.product(range(3), repeat=4)], np.int32)
    return {"made": {"value": tokens}, "fresh": np.ones(81, bool), "row": np.arange(81)}


def fits(counts, probabilities):
    expected = np.asarray(probabilities) * counts.sum()
    return ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, len(counts) - 1)


def test_it_holds_the_contracts():
    task, _ = model(PICTURES)
    assert isinstance(task, Task) and isinstance(task, Likelihood) and task.bound == "exact"


@pytest.mark.parametrize("cell", Cell)
def test_the_probabilities_of_all_sequences_sum_to_one(cell):
    task, variables = model(PICTURES, cell)
    for label in (0, 1):
        assert abs(np.exp(task.log_prob(variables, every_picture(label), KEY)).sum() - 1) < 1e-5
    task, variables = model(STREAM, cell)
    for first in range(3):
        assert abs(np.exp(task.log_prob(variables, every_text(first), KEY)).sum() - 1) < 1e-5


def test_the_label_matters():
    task, variables = model(PICTURES)
    zero, one = (np.exp(task.log_prob(variables, every_picture(label), KEY)) for label in (0, 1))
    assert np.abs(zero - one).sum() > 0.05


@pytest.mark.parametrize("spec", [PICTURES, STREAM])
def test_an_untrained_network_holds_all_tokens_equally_likely(spec):
    task = LanguageModel(NETWORK).sized(spec)
    batch = every_picture(1) if spec is PICTURES else every_text(1)
    variables = jax.jit(task.init)(KEY).replace(extra=Extra(rows=task.rows(81)))
    mean, _ = jax.jit(task.loss)(variables, batch, KEY)
    assert abs(mean.value - math.log(3)) < 1e-5 and mean.weight == 81 * 4


def test_picture_samples_follow_the_likelihood():
    task, variables = model(PICTURES)
    example = jax.jit(task.sample)(variables, asked(np.ones(6000, np.int32)), KEY)
    made = values_of(example)
    assert made.shape == (6000, 2, 2, 1) and made.dtype == jnp.uint8 and (labels_of(example) == 1).all()
    counts = np.bincount(np.asarray(made).reshape(6000, 4) @ [27, 9, 3, 1], minlength=81)
    assert fits(counts, np.exp(task.log_prob(variables, every_picture(1), KEY)))


def test_text_samples_follow_the_likelihood_after_a_prompt():
    task, variables = model(STREAM)
    prompt = np.tile(np.array([[2, 0, 1]], np.int32), (6000, 1))
    request = {"row": np.arange(6000), "made": {"value": prompt}}
    made = np.asarray(values_of(task.sample(variables, request, KEY)))
    assert made.shape == (6000, 7) and (made[:, :3] == prompt).all()
    texts = np.array([(2, 0, 1, *rest) for rest in itertools.product(range(3), repeat=4)], np.int32)
    log_prob = task.log_prob(variables, {"made": {"value": texts}, "row": np.arange(81)}, KEY)
    probabilities = np.exp(log_prob - jax.nn.logsumexp(log_prob))
    assert fits(np.bincount(made[:, 3:] @ [27, 9, 3, 1], minlength=81), probabilities)


def test_without_anything_given_pictures_are_of_any_kind_and_texts_begin_anywhere():
    task, variables = model(PICTURES)
    example = jax.jit(task.sample)(variables, {"row": np.arange(6000)}, KEY)
    assert example["given"] == {}
    counts = np.bincount(np.asarray(values_of(example)).reshape(6000, 4) @ [27, 9, 3, 1], minlength=81)
    nothing = {name: part for name, part in every_picture(0).items() if name != "given"}
    assert fits(counts, np.exp(task.log_prob(variables, nothing, KEY)))
    task, variables = model(STREAM)
    tokens = values_of(task.sample(variables, {"row": np.arange(60)}, KEY))
    assert tokens.shape == (60, 5) and set(tokens[:, 0].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("network", [NETWORK, Transformer(width=8, blocks=2, heads=2, hidden=12)])
def test_prompts_of_many_lengths_in_a_batch_go_on_as_each_alone(network):
    task, variables = model(STREAM, network=network)
    rollout = jax.jit(task.rollout)
    prompts = [[1], [2, 0, 1], [0, 2, 2, 1, 0], [1, 1]]
    longest, rows = max(map(len, prompts)), np.arange(3, 7)
    value = np.array([prompt + [0] * (longest - len(prompt)) for prompt in prompts], np.int32)
    known = np.array([[place < len(prompt) for place in range(longest)] for prompt in prompts])
    together = rollout(variables, {"row": rows, "made": {"value": value, "known": known}}, KEY)
    for number, prompt in enumerate(prompts):
        request = {"row": rows[number : number + 1], "made": {"value": np.array([prompt], np.int32)}}
        alone, size = rollout(variables, request, KEY), len(prompt)
        assert values_of(alone.example)[0, :size].tolist() == prompt
        np.testing.assert_array_equal(values_of(together.example)[number, : size + 4], values_of(alone.example)[0])
        assert not np.any(together.log_prob[number, : size - 1])
        drawn = together.log_prob[number, size - 1 : size + 3]
        np.testing.assert_allclose(drawn, alone.log_prob[0], rtol=1e-4, atol=1e-5)
        assert np.any(drawn)


def test_a_picture_that_is_known_is_kept_level_by_level():
    task, variables = model(PICTURES)
    batch = every_picture(1)
    rollout = jax.jit(task.rollout)
    whole = rollout(
        variables, batch | {"made": {"value": values_of(batch), "known": np.ones((81, 2, 2, 1), bool)}}, KEY
    )
    np.testing.assert_array_equal(values_of(whole.example), values_of(batch))
    assert not np.any(whole.log_prob)
    top = np.broadcast_to(np.array([True, False]).reshape(1, 2, 1, 1), (81, 2, 2, 1))
    half = rollout(variables, batch | {"made": {"value": values_of(batch), "known": top}}, KEY)
    np.testing.assert_array_equal(values_of(half.example)[:, 0], values_of(batch)[:, 0])
    assert not np.any(half.log_prob[:, :2])
    told = task.score(variables, half)
    np.testing.assert_allclose(half.log_prob[:, 2:], told[:, 2:], rtol=1e-4, atol=1e-5)


def test_a_policy_is_refused_where_tokens_have_no_density_or_any_kind_was_never_trained():
    task, _ = model(STREAM)
    task.check_policy()
    for sampler in (TokenSampler(temperature=0.0), TokenSampler(top_k=2), TokenSampler(top_p=0.9)):
        with pytest.raises(UserError, match=r"task.sampler .* have no probability"):
            replace(task, sampler=sampler).check_policy()
    task, _ = model(PICTURES)
    with pytest.raises(UserError, match="condition_dropout"):
        task.check_policy()
    replace(task, condition_dropout=0.1).check_policy()


def test_cold_samples_are_the_likeliest_step_by_step():
    task, variables = model(STREAM)
    for sampler in (TokenSampler(temperature=0.0), TokenSampler(top_k=1), TokenSampler(top_p=1e-6)):
        request = {"row": jnp.arange(2), "made": {"value": jnp.array([[1], [1]])}}
        one, other = values_of(replace(task, sampler=sampler).sample(variables, request, KEY))
        assert np.array_equal(one, other)
    whole = np.exp(task.log_prob(variables, every_text(1), KEY)).reshape(3, 3, 3, 3)
    expected = []
    for _ in range(4):
        expected.append(int(whole.reshape(3, -1).sum(1).argmax()))
        whole = whole[expected[-1]]
    assert one[1:].tolist() == expected


def test_two_batches_with_a_carried_state_are_one_long_one():
    task, variables = model(STREAM)
    text = np.asarray(jax.random.randint(jax.random.key(3), (2, 9), 0, 3))
    long = -float(task.log_prob(variables, {"made": {"value": text}, "row": np.arange(2)}, KEY).sum())
    rows, total = task.rows(2), 0.0
    for number in (0, 1):
        part = {"value": text[:, 4 * number : 4 * number + 5]}
        batch = {"made": part, "fresh": np.full(2, number == 0), "row": np.arange(2)}
        sums, rows = task.evaluate(variables.replace(extra=Extra(rows=rows)), batch, KEY)
        total += float(sums["nats"].total)
    assert abs(total - long) < 1e-4
    batch["fresh"] = np.ones(2, bool)  # the second half alone forgets the first
    alone, _ = task.evaluate(variables.replace(extra=Extra(rows=rows)), batch, KEY)
    assert abs(float(alone["nats"].total) + float(task.log_prob(variables, batch, KEY).sum())) < 1e-4


def test_fresh_resets_its_own_row_alone():
    task, variables = model(STREAM)
    tokens = np.array([[0, 1, 2, 0, 1]] * 2, np.int32)
    used = jax.tree.map(lambda leaf: jnp.full_like(leaf, 1), task.rows(2))
    batch = {"made": {"value": tokens}, "fresh": np.array([True, False]), "row": np.arange(2)}
    _, aux = task.loss(variables.replace(extra=Extra(rows=used)), batch, KEY)
    assert jax.tree.structure(aux.rows) == jax.tree.structure(used)
    per_row = []
    for row in (0, 1):
        alone = batch | {"weight": np.arange(2) == row}
        sums, _ = task.evaluate(variables.replace(extra=Extra(rows=used)), alone, KEY)
        per_row.append(float(sums["nats"].total))
    assert abs(per_row[0] + float(task.log_prob(variables, batch, KEY)[0])) < 1e-5
    assert abs(per_row[1] - per_row[0]) > 1e-3


def test_padding_weighs_nothing():
    task, variables = model(PICTURES)
    batch = every_picture(0)
    whole, rows = task.evaluate(variables, batch | {"weight": (np.arange(81) < 20).astype(np.float32)}, KEY)
    part, _ = task.evaluate(variables, cut(batch, slice(20)) | {"weight": np.ones(20, np.float32)}, KEY)
    assert rows is None and whole["nats"].weight == 80
    np.testing.assert_allclose(whole["nats"].total, part["nats"].total, rtol=1e-5)


def test_dropout_depends_on_the_rows_number_not_on_its_place():
    task, variables = model(PICTURES)
    batch, loss = every_picture(0), jax.jit(task.loss)
    part = cut(batch, slice(30, 40))
    whole, _ = loss(variables, batch | {"weight": ((batch["row"] // 10) == 3).astype(np.float32)}, KEY)
    np.testing.assert_allclose(loss(variables, part, KEY)[0].total, whole.total, rtol=1e-5)


def test_units():
    sums = {"nats": Mean(jnp.float32(40 * math.log(8)), jnp.float32(40))}
    task, _ = model(PICTURES)
    assert abs(task.finish(sums)["bits_per_dim"] - 3) < 1e-5
    task, _ = model(STREAM)
    figures = task.finish(sums)
    assert abs(figures["bits_per_character"] - 3) < 1e-5 and abs(figures["perplexity"] - 8) < 1e-4


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: TokenSampler(temperature=-1.0), "temperature"),
        (lambda: TokenSampler(top_k=0), "top_k"),
        (lambda: TokenSampler(top_p=0.0), "top_p"),
        (lambda: TokenSampler(top_p=1.5), "top_p"),
        (lambda: NETWORK.clone(token_shifts=(0, 1)), "token_shifts"),
        (lambda: LanguageModel(NETWORK, condition_dropout=1.0), "condition_dropout"),
        (lambda: LanguageModel(NETWORK).sized(Spec(Clip(2, 4, 4, 1, 3))), "pictures or running text"),
        (lambda: LanguageModel(NETWORK).sized(Spec(PICTURES.made, (("clip", Clip(2, 4, 4, 1, 3)),))), "Clip data"),
        (lambda: LanguageModel(NETWORK, TokenSampler(top_k=4)).sized(PICTURES), "3 tokens"),
    ],
)
def test_a_users_mistake_is_told_in_a_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
