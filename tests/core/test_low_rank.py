"""Truths of low-rank adaptation: nothing changes when it is added, and nothing when it is merged."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np
import pytest
from training import lively

from jaxgen.core.low_rank_surgery import AddLowRank, MergeLowRank
from jaxgen.core.masks import paths
from jaxgen.errors import UserError
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.types import Extra, Variables

KEY = jax.random.key(3)
PLAIN = DiffusionTransformer(width=8, heads=2, blocks=2, patch=2)
ADAPTED = PLAIN.clone(low_rank=3)
X, NOISE = jax.random.normal(KEY, (2, 4, 4, 1)), np.array([0.1, -0.4], np.float32)


def _params(network):
    return jax.jit(network.init)(KEY, X, NOISE, None)["params"]


def _out(network, params):
    return np.asarray(jax.jit(network.apply)({"params": params}, X, NOISE, None))


@pytest.fixture(scope="module")
def trained():
    return lively(Variables(_params(PLAIN), Extra())).params


def test_added_it_changes_nothing_and_fits_the_network(trained):
    added = AddLowRank(3)(trained, KEY)
    fresh = _params(ADAPTED)
    assert {path: leaf.shape for path, leaf in zip(paths(added), jax.tree.leaves(added), strict=True)} == {
        path: leaf.shape for path, leaf in zip(paths(fresh), jax.tree.leaves(fresh), strict=True)
    }
    np.testing.assert_array_equal(_out(ADAPTED, added), _out(PLAIN, trained))


def test_added_and_merged_at_once_it_is_the_same_bits(trained):
    there_and_back = MergeLowRank()(AddLowRank(3)(trained, KEY), KEY)
    assert jax.tree.structure(there_and_back) == jax.tree.structure(trained)
    jax.tree.map(np.testing.assert_array_equal, there_and_back, trained)


def test_merged_after_training_it_computes_the_same(trained):
    moved = lively(Variables(AddLowRank(3)(trained, KEY), Extra())).params
    assert np.abs(_out(ADAPTED, moved) - _out(PLAIN, trained)).max() > 1e-2
    np.testing.assert_allclose(_out(PLAIN, MergeLowRank()(moved, KEY)), _out(ADAPTED, moved), atol=1e-5)


def test_what_one_run_learned_is_not_lost_when_the_next_adds_its_own(trained):
    first = AddLowRank(3, "attention/out$")
    moved = lively(Variables(first(trained, KEY), Extra())).params
    for again in (first, AddLowRank(2, ".")):
        with pytest.raises(UserError, match=r"attention/out has .* of low rank already.*put MergeLowRank before"):
            again(moved, KEY)
    both = AddLowRank(3, "attention/query_key_value$")(moved, KEY)
    merged, kept = MergeLowRank()(both, KEY), MergeLowRank()(moved, KEY)
    jax.tree.map(np.testing.assert_array_equal, merged, kept)  # the new one is zero yet
    assert set(paths(AddLowRank(2)(merged, KEY))) == set(paths(both))


def test_what_it_cannot_be_added_to_or_merged_is_refused(trained):
    with pytest.raises(UserError, match="no dense layer of the start matches 'nothing'"):
        AddLowRank(layers="nothing")(trained, KEY)
    with pytest.raises(UserError, match="nothing of low rank to merge"):
        MergeLowRank()(trained, KEY)
    with pytest.raises(UserError, match="rank is 0"):
        AddLowRank(0)
