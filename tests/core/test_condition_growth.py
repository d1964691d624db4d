"""Rows for new classes in every kernel that reads a class, at the end of a vector or within one."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np
import pytest

from jaxgen.core.condition_growth import GrowClasses
from jaxgen.errors import UserError
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from tests.given import seen

FEATURES, CLASSES = 3, 2
KERNEL = np.random.default_rng(0).normal(size=(4 + CLASSES + 2, FEATURES)).astype(np.float32)
TOKENS = np.random.default_rng(1).integers(0, 7, (4, 5))
NOISY = np.random.default_rng(2).normal(size=(4, 4, 4, 1)).astype(np.float32)
NETWORKS = {
    "rnn": (RecurrentNetwork(width=6, embedding=5, vocabulary=7), (TOKENS, None)),
    "transformer": (Transformer(width=8, heads=2, hidden=12, blocks=1, vocabulary=7), (TOKENS, None)),
    "diffusion": (DiffusionTransformer(8, 1, 2, image=(4, 4, 1)), (NOISY, np.linspace(-1, 1, 4, dtype=np.float32))),
}


def grown(growth, kernel, rows, columns=FEATURES):
    first = {"decoder": {"condition": {"kernel": np.zeros((rows, columns), np.float32)}}}
    start = {"decoder": {"condition": {"kernel": kernel}, "other": {"kernel": kernel}}}
    after = growth.fit(start, None, first, None)
    assert after["decoder"]["other"]["kernel"] is kernel
    return np.asarray(after["decoder"]["condition"]["kernel"])


def test_rows_before_and_behind_stay_and_a_new_class_is_the_mean_of_the_old_ones():
    after = grown(GrowClasses(places=(3, 1), behind=2), KERNEL, 4 + 5 + 2)
    assert (after[:4] == KERNEL[:4]).all() and (after[-2:] == KERNEL[-2:]).all()
    assert (after[4 + 3] == KERNEL[4]).all() and (after[4 + 1] == KERNEL[5]).all()
    for new in (0, 2, 4):
        np.testing.assert_allclose(after[4 + new], KERNEL[4:6].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("growth", "rows", "columns", "sentence"),
    [
        (GrowClasses(), 9, FEATURES, "does not know the start's classes; give `places`"),
        (GrowClasses(places=(0, 0)), 9, FEATURES, "give another place below 3 for each class"),
        (GrowClasses(places=(0, 3)), 9, FEATURES, "give another place below 3"),
        (GrowClasses(places=tuple(range(9)), behind=2), 12, FEATURES, "give another place below 13"),
        (GrowClasses(places=(0, 1)), 8, FEATURES, "finds no layer of the start that reads a class and has more"),
        (GrowClasses(places=(0, 1)), 9, 4, "finds no layer"),
    ],
)
def test_a_growth_that_cannot_be(growth, rows, columns, sentence):
    with pytest.raises(UserError, match=sentence):
        grown(growth, KERNEL, rows, columns)


@pytest.mark.parametrize("kind", NETWORKS)
def test_old_classes_and_any_class_stay_to_the_bit_in_every_other_family(kind):
    """Of GAN and VAE see theirs: what a network makes of a class that has moved, and of none."""
    network, inputs = NETWORKS[kind]
    old, places = 3, np.array([4, 0, 2])
    shapes = [
        jax.eval_shape(network.init, jax.random.key(0), *inputs, seen(np.zeros(4, int), classes))["params"]
        for classes in (old, 5)
    ]
    draw = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: draw.normal(0.0, 0.3, leaf.shape).astype(np.float32), shapes[0])
    first = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes[1])
    after = GrowClasses(places=tuple(places.tolist())).fit(params, None, first, None)
    assert jax.tree.map(np.shape, after) == jax.tree.map(lambda leaf: leaf.shape, shapes[1])

    @jax.jit
    def made(params, condition):
        found = network.apply({"params": params}, *inputs, condition)
        return found[0] if isinstance(found, tuple) else found

    label = np.array([0, 1, 2, old])
    moved = np.array([*places, 5])[label]
    assert (made(params, seen(label, old)) == made(after, seen(moved, 5))).all()
