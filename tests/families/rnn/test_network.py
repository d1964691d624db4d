"""Step by step and all at once are one network, for every cell and every kind of input."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from tests.given import seen

B, T, V = 3, 9, 5
PLAIN = RecurrentNetwork(width=6, embedding=4, vocabulary=V)
NETWORKS = {
    "plain": PLAIN,
    "gru": PLAIN.clone(cell=Cell.GRU, layers=2),
    "min_gru": PLAIN.clone(cell=Cell.MIN_GRU, layers=2),
    "rg_lru": PLAIN.clone(cell=Cell.RG_LRU, layers=2, residual=True),
    "all": PLAIN.clone(layers=2, token_shifts=(1, 2, 4), head=7, dropout=0.4, positions=T),
}


@functools.partial(jax.jit, static_argnums=0)
def apply(network, variables, *arguments):
    return network.apply(variables, *arguments)


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


def lively(network):
    """Parameters of any size, the head's too: fresh ones give the same logits to everything."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs(network))["params"]
    drawn = np.random.default_rng(1)  # NumPy compiles no programs for each leaf's shape
    params = jax.tree.map(lambda leaf: jnp.asarray(0.7 * drawn.standard_normal(leaf.shape), jnp.float32), shapes)
    return {"params": params}


def inputs(network):
    tokens = jax.random.randint(jax.random.key(2), (B, T), 0, V)
    return tokens, network.carry(B, 0), seen([0, 1, 1], 2) if network.positions else None


def close(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), left, right)


def test_steps_give_the_logits_of_the_parallel_pass(network):
    variables, (tokens, carry, condition) = lively(network), inputs(network)
    whole, after = apply(network, variables, tokens, carry, condition)
    step = jax.jit(lambda token, carry: network.apply(variables, token, carry, condition, method="step"))
    for t in range(T):
        logits, carry = step(tokens[:, t], carry)
        close(logits, whole[:, t])
    close(carry, after)


def test_two_halves_are_the_whole(network):
    variables, (tokens, carry, condition) = lively(network), inputs(network)
    whole, after = apply(network, variables, tokens, carry, condition)
    first, between = apply(network, variables, tokens[:, :2], carry, condition)
    second, end = apply(network, variables, tokens[:, 2:], between, condition)
    close((jnp.concatenate([first, second], axis=1), end), (whole, after))


def test_nothing_sees_the_future(network):
    variables, (tokens, carry, condition) = lively(network), inputs(network)
    other = tokens.at[:, 5].set((tokens[:, 5] + 1) % V)
    before, _ = apply(network, variables, tokens, carry, condition)
    after, _ = apply(network, variables, other, carry, condition)
    assert np.array_equal(before[:, :5], after[:, :5])
    assert np.abs(before[:, 5:] - after[:, 5:]).max() > 1e-3


def test_the_carried_state_has_the_batch_leading(network):
    assert all(leaf.shape[0] == B and leaf.size for leaf in jax.tree.leaves(network.carry(B, 0)))


def test_context_counts_back_from_the_predicted_token():
    network = PLAIN.clone(token_shifts=(3,))
    variables = lively(network)
    variables["params"]["layer_0"]["recurrent"] *= 0
    variables["params"]["layer_0"]["bias"] = variables["params"]["layer_0"]["bias"].at[6:12].set(-1e9)  # forget all
    tokens, carry, condition = inputs(network)
    logits, _ = apply(network, variables, tokens, carry, condition)  # logits t, of token t+1, see token t-2 alone
    for moved, changed in [(0, 2), (4, 6)]:
        other, _ = apply(network, variables, tokens.at[:, moved].set((tokens[:, moved] + 1) % V), carry, condition)
        assert np.flatnonzero(np.abs(other - logits).max((0, 2)) > 1e-6).tolist() == [changed]


def test_dropout_is_a_rows_own_and_keeps_the_mean():
    network = NETWORKS["all"]
    variables, (tokens, carry, condition) = lively(network), inputs(network)
    keys = jax.random.split(jax.random.key(5), B)
    whole, _ = apply(network, variables, tokens, carry, condition, keys)
    lone = jax.tree.map(lambda leaf: leaf[1:2], (tokens, carry, condition, keys))
    close(apply(network, variables, *lone)[0], whole[1:2])
    quiet, _ = apply(network, variables, tokens, carry, condition)
    assert np.abs(whole - quiet).max() > 1e-2
    linear = PLAIN.clone(layers=0, dropout=0.5)  # its logits are linear in what is dropped, and see no past
    variables = lively(linear)
    still = jnp.zeros((2000, T), jnp.int32)
    drops, _ = apply(linear, variables, still, None, None, jax.random.split(jax.random.key(6), 2000))
    assert np.ptp(drops, axis=1).max() < 1e-6  # one mask all along a row
    assert np.abs(drops.mean((0, 1)) - apply(linear, variables, still[:1], None, None)[0][0, 0]).max() < 0.1
