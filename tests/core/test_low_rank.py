"""Truths of low-rank adaptation: nothing changes when it is added, and nothing when it is merged."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from training import lively

from jaxgen.core.low_rank_surgery import AddLowRank, MergeLowRank
from jaxgen.core.masks import paths
from jaxgen.core.surgery import arranged, unstacked
from jaxgen.errors import UserError
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.transformer.network import Transformer
from jaxgen.families.transformer.transformer_growth import Widen
from jaxgen.types import Extra, Params, Variables

KEY = jax.random.key(3)
NOISY = jax.random.normal(KEY, (2, 4, 4, 1)), np.array([0.1, -0.4], np.float32), None
TOKENS = np.array([[5, 0, 4, 2], [1, 5, 3, 0]], np.int32), None, None
NETWORKS = {  # and what they are given
    "diffusion": (DiffusionTransformer(width=8, heads=2, blocks=2, patch=2), NOISY),
    "decoder": (Transformer(width=8, heads=2, blocks=2, hidden=8, scan=True, vocabulary=5), TOKENS),
}


@dataclass(frozen=True)
class Trained:
    """A network without additions of low rank, what it is given, and its parameters, blocks one by one."""

    plain: nn.Module
    given: tuple
    params: Params

    @property
    def adapted(self):
        return self.plain.clone(low_rank=3)

    def out(self, network, params):
        shapes = jax.eval_shape(network.init, KEY, *self.given)["params"]
        made = jax.jit(network.apply)({"params": arranged(params, shapes)}, *self.given)
        return np.asarray(jax.tree.leaves(made)[0])


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request):
    network, given = NETWORKS[request.param]
    params = jax.jit(network.init)(KEY, *given)["params"]
    return Trained(network, given, unstacked(lively(Variables(params, Extra())).params))


def test_added_it_changes_nothing_and_fits_the_network(trained):
    added = AddLowRank(3)(trained.params, KEY)
    fresh = unstacked(jax.jit(trained.adapted.init)(KEY, *trained.given)["params"])
    assert jax.tree.map(jnp.shape, added) == jax.tree.map(jnp.shape, fresh)
    np.testing.assert_array_equal(trained.out(trained.adapted, added), trained.out(trained.plain, trained.params))


def test_added_and_merged_at_once_it_is_the_same_bits(trained):
    there_and_back = MergeLowRank()(AddLowRank(3)(trained.params, KEY), KEY)
    assert jax.tree.structure(there_and_back) == jax.tree.structure(trained.params)
    jax.tree.map(np.testing.assert_array_equal, there_and_back, trained.params)


def test_merged_after_training_it_computes_the_same(trained):
    moved = lively(Variables(AddLowRank(3)(trained.params, KEY), Extra())).params
    changed = trained.out(trained.adapted, moved)
    assert np.abs(changed - trained.out(trained.plain, trained.params)).max() > 1e-2
    np.testing.assert_allclose(trained.out(trained.plain, MergeLowRank()(moved, KEY)), changed, atol=1e-5)


def test_a_wider_decoder_does_not_lose_what_was_added():
    decoder, given = NETWORKS["decoder"]
    params = unstacked(decoder.clone(low_rank=3).init(KEY, *given)["params"])
    for widen in (Widen(hidden=16), Widen(times=2)):
        with pytest.raises(UserError, match="put MergeLowRank before Widen"):
            widen(params, KEY)


def test_what_one_run_learned_is_not_lost_when_the_next_adds_its_own(trained):
    first = AddLowRank(3, "attention/out$")
    moved = lively(Variables(first(trained.params, KEY), Extra())).params
    for again in (first, AddLowRank(2, ".")):
        with pytest.raises(UserError, match=r"attention/out has .* of low rank already.*put MergeLowRank before"):
            again(moved, KEY)
    both = AddLowRank(3, "attention/query_key_value$")(moved, KEY)
    merged, kept = MergeLowRank()(both, KEY), MergeLowRank()(moved, KEY)
    jax.tree.map(np.testing.assert_array_equal, merged, kept)  # the new one is zero yet
    assert set(paths(AddLowRank(2)(merged, KEY))) == set(paths(both))


def test_what_it_cannot_be_added_to_or_merged_is_refused(trained):
    with pytest.raises(UserError, match="no dense layer of the start matches 'nothing'"):
        AddLowRank(layers="nothing")(trained.params, KEY)
    with pytest.raises(UserError, match="nothing of low rank to merge"):
        MergeLowRank()(trained.params, KEY)
    with pytest.raises(UserError, match="rank is 0"):
        AddLowRank(0)
