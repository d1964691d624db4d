"""The cache changes nothing: token by token, in two parts or all at once, it is one network, blind to the future."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.masks import Matching
from jaxgen.errors import UserError
from jaxgen.families.language_model import LanguageModel, TokenSampler
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.decoder_parts import Activation, DecoderParts, Norm, Position
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.types import Extra, Framing, Spec, Tokens, Variables
from tests.given import asked, cut, pictures, seen, values_of

B, T, V = 3, 9, 5
PLAIN = Transformer(width=8, blocks=2, heads=2, hidden=12, vocabulary=V)
ALL = PLAIN.clone(token_shifts=(1, 2, 4), dropout=0.4, positions=T)
SWIGLU = DecoderParts(Position.LEARNED, Norm.LAYER, Activation.SWIGLU, tied_head=True, soft_cap=4.0)
SQUARED = DecoderParts(Position.NONE, Norm.RMS, Activation.RELU_SQUARED, query_key_norm=True, zero_init=True)
NETWORKS = {
    "plain": PLAIN,
    "all": ALL,
    "scanned": ALL.clone(scan=True, remat=Remat.FULL),
    "swiglu": PLAIN.clone(parts=SWIGLU, scan=True).sized(V, 0, T + 3),
    "squared": PLAIN.clone(parts=SQUARED).sized(V, 0, T + 3),
}
TOKENS = jax.random.randint(jax.random.key(2), (B, T), 0, V)
PICTURES = pictures((2, 2, 1), levels=3, classes=2)
TEXT = Spec(Tokens(4, 3, framing=Framing.STREAM))
KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnums=0)
def apply(network, variables, *arguments):
    return network.apply(variables, *arguments)


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


def condition_of(network):
    """Of two classes, and of any."""
    return seen([0, 1, 2], 2) if network.positions else None


def lively(shapes):
    """Parameters of any size, the head's too: fresh ones give the same logits to everything."""
    drawn = np.random.default_rng(1)  # NumPy compiles no programs for each leaf's shape
    return jax.tree.map(lambda leaf: jnp.asarray(0.6 * drawn.standard_normal(leaf.shape), jnp.float32), shapes)


def variables_of(network):
    return lively(jax.eval_shape(network.init, KEY, TOKENS, None, condition_of(network)))


def close(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), left, right)


def test_steps_give_the_logits_of_the_parallel_pass(network):
    variables, condition = variables_of(network), condition_of(network)
    whole, nothing = apply(network, variables, TOKENS, None, condition)
    assert nothing is None and np.ptp(whole) > 1
    step = jax.jit(lambda token, carry: network.apply(variables, token, carry, condition, method="step"))
    carry = network.carry(B, T)
    for t in range(T):
        logits, carry = step(TOKENS[:, t], carry)
        close(logits, whole[:, t])
    assert carry["position"].tolist() == [T] * B


@pytest.mark.parametrize("cut", [1, 5])
def test_a_prompt_in_two_parts_is_the_prompt(network, cut):
    variables, condition, start = variables_of(network), condition_of(network), network.carry(B, T + 3)
    whole, after = apply(network, variables, TOKENS, start, condition)
    close(whole, apply(network, variables, TOKENS, None, condition)[0])
    first, between = apply(network, variables, TOKENS[:, :cut], start, condition)
    second, end = apply(network, variables, TOKENS[:, cut:], between, condition)
    close((jnp.concatenate([first, second], axis=1), end), (whole, after))


def test_nothing_sees_the_future(network):
    variables, condition = variables_of(network), condition_of(network)
    before, _ = apply(network, variables, TOKENS, None, condition)
    after, _ = apply(network, variables, TOKENS.at[:, 5].set((TOKENS[:, 5] + 1) % V), None, condition)
    assert np.array_equal(before[:, :5], after[:, :5])
    assert np.abs(before[:, 5:] - after[:, 5:]).max() > 1e-3


def test_the_carried_state_has_the_batch_leading(network):
    assert all(leaf.shape[0] == B and leaf.size for leaf in jax.tree.leaves(network.carry(B, T)))


def test_a_row_is_the_same_in_any_batch_and_beams_can_be_reordered(network):
    variables, condition, order = variables_of(network), condition_of(network), jnp.array([2, 0, 0])
    chosen = cut(condition, order)
    keys = jax.random.split(jax.random.key(5), B)
    whole, _ = apply(network, variables, TOKENS, None, condition, keys)
    close(apply(network, variables, TOKENS[order], None, chosen, keys[order])[0], whole[order])
    whole, carry = apply(network, variables, TOKENS[:, :4], network.carry(B, T), condition)
    went_on, _ = apply(network, variables, TOKENS[:, 4:], carry, condition)
    carry = jax.tree.map(lambda leaf: leaf[order], carry)
    close(apply(network, variables, TOKENS[order, 4:], carry, chosen)[0], went_on[order])


def test_context_counts_back_from_the_predicted_token():
    network = PLAIN.clone(token_shifts=(3,), blocks=0)  # logits t are of token t+1, and see token t-2 alone
    variables = variables_of(network)
    logits, _ = apply(network, variables, TOKENS, None, None)
    for moved, changed in [(0, 2), (4, 6)]:
        other, _ = apply(network, variables, TOKENS.at[:, moved].set((TOKENS[:, moved] + 1) % V), None, None)
        assert np.flatnonzero(np.abs(other - logits).max((0, 2)) > 1e-6).tolist() == [changed]


def in_numpy(params, parts, tokens, heads):
    """Logits [T, V] of the first block of `tokens` [T], written down anew from the papers' equations."""
    leaf = lambda path: np.asarray(functools.reduce(lambda tree, name: tree[name], path.split("/"), params), float)  # noqa: E731
    rms = lambda x, scale: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale  # noqa: E731

    def norm(x, name):
        if parts.norm is Norm.RMS:
            return rms(x, leaf(f"{name}/scale"))
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * leaf(f"{name}/scale") + leaf(
            f"{name}/bias"
        )

    def dense(x, name):
        return x @ leaf(f"{name}/kernel") + leaf(f"{name}/bias")

    x = leaf("token/embedding")[tokens]
    if parts.position is Position.LEARNED:
        x = x + leaf("position/embedding")[: len(tokens)]
    q, k, v = np.split(dense(norm(x, "block_0/attention_norm"), "block_0/attention/query_key_value"), 3, axis=-1)
    heard = []
    for own in np.split(np.arange(x.shape[1]), heads):
        queries, keys = q[:, own], k[:, own]
        if parts.query_key_norm:
            queries, keys = (
                rms(which, leaf(f"block_0/attention/{name}_norm/scale"))
                for which, name in ((queries, "query"), (keys, "key"))
            )
        scores = np.where(np.tri(len(tokens)) > 0, queries @ keys.T / np.sqrt(len(own)), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heard.append(weights / weights.sum(-1, keepdims=True) @ v[:, own])
    x = x + dense(np.concatenate(heard, axis=-1), "block_0/attention/out")
    read = norm(x, "block_0/mlp_norm")
    hidden = dense(read, "block_0/mlp/in")
    if parts.activation is Activation.SWIGLU:
        hidden = hidden / (1 + np.exp(-hidden)) * dense(read, "block_0/mlp/gate")
    else:
        hidden = np.maximum(hidden, 0) ** 2
    x = norm(x + dense(hidden, "block_0/mlp/out"), "final_norm")
    logits = x @ leaf("token/embedding")[:V].T if parts.tied_head else dense(x, "head")
    return parts.soft_cap * np.tanh(logits / parts.soft_cap) if parts.soft_cap else logits


@pytest.mark.parametrize("parts", [SWIGLU, SQUARED])
def test_parts_are_those_of_their_papers(parts):
    network = PLAIN.clone(parts=parts, blocks=1).sized(V, 0, T)
    variables = variables_of(network)
    logits, _ = apply(network, variables, TOKENS, None, None)
    for row, tokens in zip(logits, TOKENS, strict=True):
        np.testing.assert_allclose(row, in_numpy(variables["params"], parts, tokens, network.heads), atol=2e-5)


def test_blocks_whose_last_layers_are_zero_begin_as_the_identity():
    parts = DecoderParts(zero_init=True, tied_head=True)
    deep, flat = (PLAIN.clone(parts=parts, blocks=blocks) for blocks in (2, 0))
    params = deep.init(KEY, TOKENS, None, None)["params"]
    left = {name: part for name, part in params.items() if not name.startswith("block")}
    close(apply(deep, {"params": params}, TOKENS, None, None)[0], apply(flat, {"params": left}, TOKENS, None, None)[0])


def test_places_are_counted_anew_in_each_document():
    network = PLAIN.clone(parts=SWIGLU).sized(V, 0, T)
    variables, cut = variables_of(network), 4
    segment = jnp.tile((jnp.arange(T) >= cut).astype(int), (B, 1))
    packed, _ = apply(network, variables, TOKENS, None, None, None, segment)
    for begin, stop in ((0, cut), (cut, T)):
        close(packed[:, begin:stop], apply(network, variables, TOKENS[:, begin:stop], None, None)[0])


def test_every_class_and_any_class_has_a_row_of_its_own():
    network = NETWORKS["all"]
    variables = variables_of(network)
    logits, _ = apply(network, variables, jnp.tile(TOKENS[:1], (3, 1)), None, seen(np.arange(3), 2))
    assert all(np.abs(logits[i] - logits[j]).max() > 1e-2 for i, j in itertools.combinations(range(3), 2))
    assert variables["params"]["condition"]["kernel"].shape == (3, 2 * 8)  # a scale and a shift for each feature


def test_dropout_draws_for_each_row_and_layer_and_nothing_without_keys():
    network = NETWORKS["all"]
    variables, condition = variables_of(network), condition_of(network)
    quiet, _ = apply(network, variables, TOKENS, None, condition)
    one, other = (
        apply(network, variables, TOKENS, None, condition, jax.random.split(jax.random.key(s), B)) for s in (5, 6)
    )
    assert min(np.abs(one[0] - quiet).max(), np.abs(one[0] - other[0]).max()) > 1e-2
    none = network.clone(dropout=0.0)
    close(apply(none, variables, TOKENS, None, condition, jax.random.split(jax.random.key(5), B))[0], quiet)


def model(spec):
    task = LanguageModel(Transformer(width=8, blocks=2, heads=2, hidden=12, token_shifts=(1, 2))).sized(spec)
    return task, Variables(lively(jax.eval_shape(task.init, KEY).params), Extra())


@pytest.mark.parametrize("spec", [PICTURES, TEXT])
def test_the_probabilities_of_all_sequences_sum_to_one(spec):
    task, variables = model(spec)
    rest = np.array(list(itertools.product(range(3), repeat=4)))
    for first in range(3):  # the class of a picture (the last: of any), the first letter of a text
        own = asked(np.full(81, first)) if first < 2 and spec is PICTURES else {"row": np.arange(81)}
        image = rest.astype(np.uint8).reshape(-1, 2, 2, 1)
        text = np.concatenate([np.full((81, 1), first), rest], axis=1)
        batch = own | {"made": {"value": image if spec is PICTURES else text}}
        log_prob = task.log_prob(variables, batch, KEY)
        assert abs(np.exp(log_prob).sum() - 1) < 1e-5 and np.ptp(log_prob) > 1


@pytest.mark.parametrize("spec", [PICTURES, TEXT])
def test_a_cold_sample_is_the_likeliest_token_each_time(spec):
    task, variables = model(spec)
    prompt = jnp.array([[2, 0, 1]])
    cold = replace(task, sampler=TokenSampler(temperature=0.0))
    request = asked([1]) if spec is PICTURES else {"row": jnp.arange(1), "made": {"value": prompt}}
    made = values_of(cold.sample(variables, request, KEY))
    start = jnp.full((1, 1), 3) if spec is PICTURES else prompt
    tokens = made.reshape(1, 4) if spec is PICTURES else made[:, 3:]
    read = jnp.concatenate([start, tokens.astype(jnp.int32)], axis=1)[:, :-1]
    condition = seen([1], 2) if spec is PICTURES else None
    logits, _ = task.network.apply({"params": variables.params}, read, None, condition)
    assert logits[0, -4:].argmax(-1).tolist() == tokens[0].tolist()


def test_an_untrained_network_holds_all_tokens_equally_likely():
    task = LanguageModel(Transformer(width=8, blocks=1, heads=2, hidden=8)).sized(PICTURES)
    batch = asked(np.zeros(2, np.int32)) | {"made": {"value": np.ones((2, 2, 2, 1), np.uint8)}}
    np.testing.assert_allclose(task.log_prob(task.init(KEY), batch, KEY), -4 * np.log(3), rtol=1e-6)


def test_steps_in_bfloat16_keep_half_as_much_and_stay_near_the_parallel_pass():
    network = PLAIN.clone(precision=Precision.BFLOAT16)
    variables, carry = variables_of(network), network.carry(B, T)
    assert {leaf.dtype for leaf in jax.tree.leaves(carry["blocks"])} == {jnp.dtype("bfloat16")}
    whole, _ = apply(network, variables, TOKENS, None, None)
    step = jax.jit(lambda token, carry: network.apply(variables, token, carry, None, method="step"))
    for t in range(T):
        logits, carry = step(TOKENS[:, t], carry)
        assert logits.dtype == jnp.float32
        np.testing.assert_allclose(logits, whole[:, t], atol=0.02 * np.ptp(whole))


def test_the_last_layers_are_a_question_of_paths():
    moves = Matching("block_1|head|final")(variables_of(PLAIN)["params"])
    assert {name for name, part in moves.items() if any(jax.tree.leaves(part))} == {"block_1", "head", "final_norm"}
    assert {"token", "block_0"} <= moves.keys()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"width": 30}, "width"),
        ({"heads": 0}, "heads"),
        ({"heads": 64}, "even"),
        ({"token_shifts": (0, 1)}, "token_shifts"),
        ({"token_shifts": (2,), "parts": DecoderParts(tied_head=True)}, "token_shifts a 1"),
    ],
)
def test_a_users_mistake_is_told_in_a_sentence(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        Transformer(**fields)


def test_parts_that_cannot_be_are_told():
    with pytest.raises(UserError, match="soft_cap is -1"):
        DecoderParts(soft_cap=-1)
    with pytest.raises(UserError, match="end at 9 tokens"):
        PLAIN.clone(parts=SWIGLU).sized(V, 0, T).carry(B, T + 1)
