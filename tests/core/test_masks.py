"""Splitting the board and joining it again; patterns that match."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.core.masks import Both, Everything, Matching, join, path_of, paths, split, union
from jaxgen.errors import UserError

names = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=8
)


@given(trees.filter(lambda tree: isinstance(tree, dict)), st.randoms())
def test_join_undoes_split_for_any_mask(tree, random):
    mask = jax.tree.map(lambda _: random.random() < 0.5, tree)
    moving, frozen = split(tree, mask)
    assert join(moving, frozen) == tree
    assert len(jax.tree.leaves(moving)) + len(jax.tree.leaves(frozen)) == len(jax.tree.leaves(tree))


PARAMS = {"body": {"kernel": np.ones(2), "bias": np.ones(1)}, "head": {"kernel": np.ones(3)}}


def test_paths_are_told_as_flax_nests_them():
    assert paths(PARAMS) == ["body/bias", "body/kernel", "head/kernel"]
    assert path_of(jax.tree_util.tree_leaves_with_path({"a": [1, 2]})[1][0]) == "a/1"


def test_masks_meet_and_join():
    head, kernels = Matching("^head"), Matching("kernel$")
    assert jax.tree.leaves(Both(Everything(), head)(PARAMS)) == [False, False, True]
    assert jax.tree.leaves(Both(kernels, head)(PARAMS)) == [False, False, True]
    assert jax.tree.leaves(union([head(PARAMS), kernels(PARAMS)])) == [False, True, True]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [("hed/kernel", "matches no parameter; did you mean 'head/kernel'"), ("(", "is no regular expression")],
)
def test_a_pattern_that_cannot_serve_says_why(pattern, sentence):
    with pytest.raises(UserError, match=sentence):
        Matching(pattern)(PARAMS)
