"""Surgeries that preserve what a network computes: its logits before and after, over sizes."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.core.growth import GrowVocabulary, NewHead, copied_units
from jaxgen.core.masks import paths
from jaxgen.core.surgery import stacked, unstacked
from jaxgen.errors import UserError
from jaxgen.families.rnn import rnn_growth as rnn
from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from jaxgen.families.transformer import transformer_growth as transformer
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.conditions import Condition

KEY, VOCABULARY = jax.random.key(0), 7
few = settings(max_examples=4)  # each compiles two networks
TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, (3, 5))
GIVEN = Condition(np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32))


def trained(network):
    """Parameters none of which is zero, as after some training; drawn by the host, which compiles nothing."""
    draw = np.random.default_rng(0)
    shapes = jax.eval_shape(network.init, KEY, TOKENS, None, GIVEN)["params"]
    return jax.tree.map(lambda leaf: draw.normal(0.0, 0.5, leaf.shape).astype(np.float32), shapes)


def logits(network, params):
    return jax.jit(network.apply)({"params": params}, TOKENS, None, GIVEN)[0]


def assert_preserved(before, after, *surgeries):
    """Of `before` and `after`, networks; the surgeries fill the second one's every parameter."""
    params = grown = trained(before)
    for number, surgery in enumerate(surgeries):
        grown = surgery(grown, jax.random.fold_in(KEY, number))
    wanted = jax.eval_shape(after.init, KEY, TOKENS, None, GIVEN)["params"]
    assert jax.tree.map(jnp.shape, grown) == jax.tree.map(jnp.shape, wanted)
    assert jnp.abs(logits(before, params) - logits(after, grown)).max() <= 1e-5
    return params, grown


@settings(max_examples=5)
@given(st.integers(1, 30), st.sampled_from([0, 7]), st.integers(0, 99))
def test_a_units_copies_share_what_it_gives(old, more, seed):
    unit, share = copied_units(jax.random.key(seed), old, old + more)
    assert (unit[:old] == np.arange(old)).all()
    np.testing.assert_allclose(jnp.zeros(old).at[unit].add(share), 1, rtol=1e-5)
    alone = np.bincount(unit, minlength=old)[np.asarray(unit)] == 1
    assert (share[alone] == 1).all()


SIZES = {"cell": Cell.LSTM, "width": 6, "layers": 2, "embedding": 5, "vocabulary": VOCABULARY}


HAVE_ZEROS = [cell for cell in Cell if cell is not Cell.MIN_GRU]


@few
@given(
    st.sampled_from(Cell), st.integers(1, 3), st.integers(0, 9), st.sampled_from([0, 5]), st.booleans(), st.booleans()
)
def test_a_wider_rnn(cell, layers, more, head, residual, further):
    shifts = (1, 3) if further else (1,)
    sizes = SIZES | {"cell": cell, "layers": layers}
    before = RecurrentNetwork(**sizes, head=head, residual=residual, token_shifts=shifts)
    assert_preserved(before, before.clone(width=6 + more), rnn.Widen(6 + more))


@few
@given(st.sampled_from(HAVE_ZEROS), st.integers(1, 2), st.integers(1, 2), st.sampled_from([0, 5]))
def test_a_deeper_rnn(cell, layers, more, head):
    before = RecurrentNetwork(**SIZES | {"cell": cell, "layers": layers}, head=head, residual=layers > 1)
    after = before.clone(layers=layers + more, residual=True)
    assert_preserved(before, after, rnn.Deepen(more))


def test_a_deeper_min_gru_is_refused():
    before = RecurrentNetwork(**SIZES | {"cell": Cell.MIN_GRU}, residual=True)
    with pytest.raises(UserError, match="MIN_GRU"):
        rnn.Deepen()(trained(before), KEY)


def test_what_is_new_in_a_deeper_rnn_learns():
    before = RecurrentNetwork(**SIZES, residual=True)
    after = before.clone(layers=3)
    params = rnn.Deepen()(trained(before), KEY)
    gradient = jax.grad(lambda params: logits(after, params)[..., 0].sum())(params)["layer_2"]
    assert all(jnp.abs(gradient[name]).max() > 0 for name in ("kernel", "bias"))


def test_an_rnn_that_is_not_residual_cannot_be_deepened():
    @dataclasses.dataclass(frozen=True)
    class Task:
        network: RecurrentNetwork

    rnn.Deepen().check(Task(RecurrentNetwork(residual=True)), {})
    with pytest.raises(UserError, match=r"task.network.residual=true"):
        rnn.Deepen().check(Task(RecurrentNetwork()), {})


BLOCKS = {"width": 8, "heads": 2, "hidden": 12, "blocks": 2, "vocabulary": VOCABULARY}


@few
@given(st.integers(0, 12), st.integers(1, 3), st.integers(0, 2), st.booleans())
def test_a_wider_and_deeper_transformer(more, times, blocks, pixels):
    before = Transformer(**BLOCKS, positions=6 if pixels else 0, token_shifts=(1, 2) if pixels else (1,))
    after = before.clone(hidden=12 + more, width=8 * times, heads=2 * times, blocks=2 + blocks)
    assert_preserved(before, after, transformer.Widen(12 + more, times), transformer.Deepen(blocks))


def test_what_is_new_in_a_deeper_transformer_learns():
    before = Transformer(**BLOCKS)
    params = transformer.Deepen()(trained(before), KEY)
    gradient = jax.grad(lambda params: logits(before.clone(blocks=3), params)[..., 0].sum())(params)["block_2"]
    assert jnp.abs(gradient["mlp"]["out"]["kernel"]).max() > 0
    assert jnp.abs(gradient["attention"]["out"]["bias"]).max() > 0


def test_stacked_blocks_are_grown_one_by_one():
    before = Transformer(**BLOCKS)
    params = trained(before)
    grown = transformer.Deepen()(unstacked(stacked(params)), KEY)
    after = before.clone(blocks=3, scan=True)
    assert jnp.abs(logits(before, params) - logits(after, stacked(grown))).max() <= 1e-5


NETWORKS = st.sampled_from([RecurrentNetwork(**SIZES, head=5, token_shifts=(1, 2)), Transformer(**BLOCKS)])


@few
@given(NETWORKS, st.integers(0, 5), st.booleans(), st.randoms(use_true_random=False))
def test_old_tokens_keep_their_logits_wherever_they_stand_and_come_back(network, more, end, chance):
    """Rows move: a token's, the one of "start" behind all of them, and where there is one "end" before that."""
    own, new = VOCABULARY - end, VOCABULARY + more
    places = tuple(chance.sample(range(new - end), own))
    params = trained(network)
    grown = GrowVocabulary(more, places, end)(params, KEY)
    stand = np.array([*places, new - 1] if end else places)
    read = np.append(stand, new)[jnp.concatenate([jnp.full((3, 1), VOCABULARY), TOKENS], axis=1)]
    larger = network.clone(vocabulary=new)
    tokens = jnp.concatenate([jnp.full((3, 1), VOCABULARY), TOKENS], axis=1)
    before = jax.jit(network.apply)({"params": params}, tokens, None, GIVEN)[0]
    after = jax.jit(larger.apply)({"params": grown}, jnp.asarray(read), None, GIVEN)[0]
    assert jnp.abs(after[..., stand] - before).max() <= 1e-5
    fresh = np.setdiff1d(np.arange(new), stand)
    assert jnp.abs(after[..., fresh] - before.mean(axis=-1, keepdims=True)).max(initial=0) <= 1e-4
    for name in [name for name in grown if name.startswith("token")]:
        assert (grown[name]["embedding"][np.append(stand, new)] == params[name]["embedding"]).all()
    assert (grown["head"]["kernel"][:, stand] == params["head"]["kernel"]).all()


@pytest.mark.parametrize("places", [(0, 1), (0, 0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5, 8)])
def test_places_that_are_none(places):
    with pytest.raises(UserError, match="another place below 8 for each of the 7 old tokens"):
        GrowVocabulary(1, places)(trained(Transformer(**BLOCKS)), KEY)


def test_a_new_head_is_dropped_and_nothing_else():
    params = trained(Transformer(**BLOCKS))
    assert set(paths(params)) - set(paths(NewHead()(params, KEY))) == {"head/bias", "head/kernel"}
    with pytest.raises(UserError, match="matches no parameter"):
        NewHead("^haed/")(params, KEY)


def test_a_surgery_on_another_network_names_what_it_lacks():
    for surgery, lacks in ((rnn.Widen(9), "layer_0"), (rnn.Deepen(), "layer_0")):
        with pytest.raises(UserError, match=f"the start has no '{lacks}'"):
            surgery(trained(Transformer(**BLOCKS)), KEY)
    with pytest.raises(UserError, match="the start has no 'block_0'"):
        transformer.Deepen()(trained(RecurrentNetwork(**SIZES)), KEY)
    with pytest.raises(UserError, match="width is 3, and the start has 6"):
        rnn.Widen(3)(trained(RecurrentNetwork(**SIZES)), KEY)
