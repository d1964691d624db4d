"""Translation: the likelihood sums to one, samples and beams follow it, and nothing depends on padding."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxgen.core.task import Attending, Likelihood, Policy, Task
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.rnn.network import Cell
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import BeamSearch, TokenSampler
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.nn.conditions import Sequence
from jaxgen.types import Extra, Framing, Spec, Tokens, Variables

KEY = jax.random.key(0)
T, WORDS = 3, 2  # strings of up to three tokens, their end counted, of two words
V, END, START = WORDS + 1, WORDS, WORDS + 1
SPEC = Spec(Tokens(T, V, framing=Framing.TARGET), (("source", Tokens(5, 4, framing=Framing.SOURCE)),))
NETWORKS = {
    "rnn": RecurrentEncoderDecoder(width=8, embedding=6, heads=2, encoder_layers=2, dropout=0.3),
    "rnn-gru": RecurrentEncoderDecoder(cell=Cell.GRU, width=8, embedding=6, layers=1),
    "transformer": TransformerEncoderDecoder(width=8, encoder_blocks=2, blocks=2, heads=2, hidden=12, dropout=0.3),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def compiled(task, method):
    """A method of a task, compiled: an uncompiled one leaves a program for each of its operations."""
    return jax.jit(getattr(task, method))


@functools.cache
def model(name, sampler=TokenSampler()):
    """A sized task and lively parameters: fresh ones hold everything equally likely."""
    task = SequenceToSequence(NETWORKS[name], sampler=sampler).sized(SPEC)
    shapes = jax.eval_shape(task.init, KEY).params
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    drawn = [0.7 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return task, Variables(jax.tree.unflatten(tree, drawn), Extra())


def sentences(*texts, length=5):
    """Sources of unlike length, padded to one."""
    value, mask = np.zeros((len(texts), length), np.int32), np.zeros((len(texts), length), bool)
    for row, text in enumerate(texts):
        value[row, : len(text)], mask[row, : len(text)] = text, True
    return {"source": {"value": value, "mask": mask}}


def request(*texts, **how):
    return {"row": np.arange(len(texts)), "given": sentences(*texts, **how)}


def strings():
    """Every string that ends within T tokens, and every one that does not."""
    ended = [(*words, END) for count in range(T) for words in itertools.product(range(WORDS), repeat=count)]
    return ended, list(itertools.product(range(WORDS), repeat=T))


def batch_of(text, targets, length=5):
    """One source beside several targets, each from the start on and padded with ends that do not count."""
    value, mask = np.full((len(targets), T + 1), END, np.int32), np.zeros((len(targets), T), bool)
    value[:, 0] = START
    for row, target in enumerate(targets):
        value[row, 1 : len(target) + 1], mask[row, : len(target)] = target, True
    return {**request(*[text] * len(targets), length=length), "made": {"value": value, "mask": mask}}


def string_of(tokens):
    tokens = np.asarray(tokens)[1:].tolist()
    return tuple(tokens[: tokens.index(END) + 1])


@every_network
def test_it_holds_the_contracts(name):
    task, _ = model(name)
    for contract in (Task, Likelihood, Policy, Attending):
        assert isinstance(task, contract)
    assert task.bound == "exact"


@every_network
def test_the_probabilities_of_all_strings_sum_to_one(name):
    task, variables = model(name)
    log_prob = compiled(task, "log_prob")
    for text in ((1,), (3, 0, 2, 1)):
        ended, going = strings()
        total = sum(np.exp(log_prob(variables, batch_of(text, targets), KEY)).sum() for targets in (ended, going))
        assert abs(total - 1) < 1e-5


@every_network
def test_an_untrained_network_holds_all_tokens_equally_likely(name):
    task = SequenceToSequence(NETWORKS[name]).sized(SPEC)
    batch = batch_of((1, 2), strings()[0])
    log_prob = task.log_prob(jax.jit(task.init)(KEY), batch, KEY)
    np.testing.assert_allclose(log_prob, -np.log(V) * batch["made"]["mask"].sum(axis=1), rtol=1e-6)


@every_network
def test_the_source_matters_place_by_place_and_its_padding_does_not(name):
    task, variables = model(name)
    ended, _ = strings()
    plain = compiled(task, "log_prob")(variables, batch_of((1, 2, 3), ended), KEY)
    wider = compiled(task, "log_prob")(variables, batch_of((1, 2, 3), ended, 9), KEY)
    np.testing.assert_allclose(wider, plain, rtol=2e-6, atol=2e-6)
    noisy = batch_of((1, 2, 3), ended)
    noisy["given"]["source"]["value"][:, 3:] = 2  # whatever stands where nothing is given
    np.testing.assert_allclose(compiled(task, "log_prob")(variables, noisy, KEY), plain, rtol=2e-6, atol=2e-6)
    for other in ((1, 2), (2, 1, 3), (1, 2, 0)):
        assert np.abs(compiled(task, "log_prob")(variables, batch_of(other, ended), KEY) - plain).max() > 1e-3


@every_network
def test_targets_outside_the_mask_change_nothing(name):
    task, variables = model(name)
    batch = batch_of((1, 2), [(END,), (0, END)])
    losses = []
    for filling in range(V):
        value = batch["made"]["value"].copy()
        value[:, 1:][~batch["made"]["mask"]] = filling
        losses.append(float(task.loss(variables, {**batch, "made": {**batch["made"], "value": value}}, KEY)[0].value))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


@every_network
def test_a_score_is_the_rollouts_and_the_likelihoods(name):
    """Law 5: token by token from the carried state, in one parallel pass, and as `log_prob` has it, but for the end."""
    task, variables = model(name)
    asked = request((1, 2, 3), (0,), (3, 3), (2, 1, 0, 3, 1), (1,), (2, 2))
    trajectory = jax.jit(task.rollout)(variables, asked, KEY)
    np.testing.assert_allclose(task.score(variables, trajectory), trajectory.log_prob, rtol=1e-5, atol=1e-5)
    for row, text in enumerate(((1, 2, 3), (0,), (3, 3), (2, 1, 0, 3, 1), (1,), (2, 2))):
        drawn = string_of(trajectory.actions[row])
        batch = batch_of(text, [drawn if len(drawn) < T else drawn[:-1]])  # the last place is an end in any case
        exact = compiled(task, "log_prob")(variables, batch, KEY)[0]
        np.testing.assert_allclose(trajectory.log_prob[row].sum(), exact, rtol=1e-4, atol=1e-5)


@every_network
def test_strings_are_drawn_as_often_as_they_are_likely(name):
    task, variables = model(name)
    count, text = 4000, (1, 2)
    drawn = jax.jit(task.sample)(variables, request(*[text] * count), KEY)["made"]["value"]
    ended, _ = strings()
    short = [target if len(target) < T else target[:-1] for target in ended]  # what does not end is ended
    probabilities = np.exp(compiled(task, "log_prob")(variables, batch_of(text, short), KEY))
    found = [string_of(row) for row in drawn]
    counts = np.array([found.count(target) for target in ended])
    assert counts.sum() == count
    expected = np.asarray(probabilities) * count
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, len(counts) - 1)


@every_network
def test_a_wide_beam_finds_the_likeliest_string_and_tells_its_score(name):
    ended, _ = strings()
    texts, penalty = ((1, 2, 3), (0,), (3, 1)), 0.7
    task, variables = model(name, BeamSearch(width=len(ended), length_penalty=penalty, best=4))
    made = jax.device_get(jax.jit(task.sample)(variables, request(*texts), KEY)["made"])
    for row, text in enumerate(texts):
        short = [target if len(target) < T else target[:-1] for target in ended]
        exact = np.asarray(compiled(task, "log_prob")(variables, batch_of(text, short), KEY)) / [
            len(target) ** penalty for target in ended
        ]
        order = np.argsort(-exact)
        assert string_of(made["value"][row]) == ended[order[0]]
        assert [string_of(one) for one in made["alternatives"][row]] == [ended[place] for place in order[:4]]
        np.testing.assert_allclose(made["scores"][row], exact[order[:4]], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(made["score"][row], exact[order[0]], rtol=1e-4, atol=1e-5)


@every_network
def test_width_one_is_greedy(name):
    texts = ((1, 2, 3), (0,), (3, 1), (2, 2, 2))
    greedy, variables = model(name, TokenSampler(temperature=0.0))
    beam, _ = model(name, BeamSearch(width=1))
    values = [jax.jit(task.sample)(variables, request(*texts), KEY)["made"]["value"] for task in (greedy, beam)]
    assert np.array_equal(*values)


@every_network
def test_several_rows_for_one_source_are_decoded_as_if_it_were_given_to_each(name):
    task, variables = model(name)
    texts, each = ((1, 2, 3), (0,)), 3
    tokens = np.random.default_rng(0).integers(0, WORDS, (len(texts) * each, T))
    apply = functools.partial(task.network.apply, {"params": variables.params})

    def given(*texts):
        return Sequence(**{"values" if k == "value" else k: v for k, v in sentences(*texts)["source"].items()})

    shared = apply(apply(given(*texts), method="encode"), tokens, method="decode")
    repeated = apply(given(*(text for text in texts for _ in range(each))), tokens)
    np.testing.assert_allclose(shared, repeated, rtol=1e-5, atol=1e-5)


def test_label_smoothing_is_its_closed_form():
    plain, variables = model("transformer")
    batch = batch_of((1, 2), strings()[0])
    task = replace(plain, label_smoothing=0.2, network=plain.network.clone(dropout=0.0))
    source = batch["given"]["source"]
    given = Sequence(source["value"], source["mask"])
    logits = task.network.apply({"params": variables.params}, given, batch["made"]["value"][:, :-1])
    log_probs, target, mask = jax.nn.log_softmax(logits), batch["made"]["value"][:, 1:], batch["made"]["mask"]
    spread = 0.8 * jax.nn.one_hot(target, V) + 0.2 / V
    expected = -(spread * log_probs).sum(axis=-1)[mask].mean()
    loss, aux = task.loss(variables, batch, KEY)
    np.testing.assert_allclose(loss.value, expected, rtol=1e-5)
    nats = -jnp.take_along_axis(log_probs, target[..., None], axis=-1)[..., 0][mask].mean()
    np.testing.assert_allclose(aux.metrics["nats_per_token"].value, nats, rtol=1e-5)


@every_network
def test_attention_to_a_sources_own_places_sums_to_one(name):
    task, variables = model(name)
    asked = request((1, 2, 3), (0,), (3, 1, 1, 2, 0))
    samples = jax.jit(task.sample)(variables, asked, KEY)
    weights, mask = jax.jit(task.attention)(variables, samples), asked["given"]["source"]["mask"]
    assert weights.shape == (3, T, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert np.abs(np.where(mask[:, None], 0, weights)).max() < 1e-6


def test_what_does_not_suit_is_refused_in_a_sentence():
    task = SequenceToSequence(NETWORKS["rnn"])
    for spec, word in ((Pictures().spec(), "one sentence"), (Spec(SPEC.made), "one sentence"),
                       (replace(SPEC, made=Tokens(4, 3)), "Pairs")):  # fmt: skip
        with pytest.raises(UserError, match=word):
            task.sized(spec)
    sized, variables = model("rnn")
    with pytest.raises(UserError, match="--given"):
        sized.sample(variables, {"row": np.arange(2), "given": {}}, KEY)
    with pytest.raises(UserError, match="beam"):
        replace(task, sampler=BeamSearch()).check_policy()
    with pytest.raises(UserError, match="top_k"):
        replace(task, sampler=TokenSampler(top_k=2)).check_policy()
    with pytest.raises(UserError, match="top_k is 9"):
        replace(task, sampler=TokenSampler(top_k=9)).sized(SPEC)
    for wrong in (lambda: BeamSearch(width=0), lambda: BeamSearch(width=2, best=3),
                  lambda: replace(task, label_smoothing=1.0)):  # fmt: skip
        with pytest.raises(UserError):
            wrong()
