"""First updates are those of the papers, by hand or by optax; a scanned network gets the updates of its single blocks.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.core.masks import path_of, paths
from jaxgen.core.surgery import stacked, unstacked
from jaxgen.errors import UserError
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.groups import DecayOn, Group
from jaxgen.training.optimisers import SGD, Adafactor, AdamW, Lion, Muon, surely_finite
from jaxgen.training.schedules import Cosine, Linear

SHIPPED = [AdamW(), SGD(), SGD(momentum=0.5, nesterov=True), Lion(), Muon(), Adafactor(factored_from=4)]
SHIPPED += [Adafactor(factored_from=4, relative=False, momentum=0.9)]
KINDS = [type(optimiser).__name__ for optimiser in SHIPPED]
FIRST = np.array([3.0, -0.5, 0.02])  # a quadratic's parameters, its curvatures, and so its gradient
CURVATURE = np.array([1.0, 4.0, 0.5])
GRADIENT = CURVATURE * FIRST


def moved(optimiser, params, gradients, updates: int = 10) -> tuple:
    """The parameters after an update for each of the gradients, and the optimiser's state."""
    rule = optimiser.build(updates)
    state = rule.init(params)
    for gradient in gradients:
        change, state = rule.update(gradient, state, params)
        params = optax.apply_updates(params, change)
    return params, state


def steps(optimiser, count: int) -> np.ndarray:
    """The parameters of 1/2 sum(c p^2) after so many updates."""
    rule, params = optimiser.build(10), jnp.asarray(FIRST, jnp.float32)
    state = rule.init(params)
    for _ in range(count):
        change, state = rule.update(jnp.asarray(CURVATURE, jnp.float32) * params, state, params)
        params = params + change
    return np.asarray(params, np.float64)


def test_the_first_updates_on_a_quadratic_by_hand():
    decayed = 0.1 * FIRST
    cases = {
        AdamW(0.01): FIRST - 0.01 * np.sign(GRADIENT),
        AdamW(0.01, weight_decay=0.1, decay_on=DecayOn.ALL): FIRST - 0.01 * (np.sign(GRADIENT) + decayed),
        SGD(0.01): FIRST - 0.01 * GRADIENT,
        SGD(0.01, nesterov=True): FIRST - 0.01 * 1.9 * GRADIENT,
        SGD(0.01, weight_decay=0.1, decay_on=DecayOn.ALL): FIRST - 0.01 * (GRADIENT + decayed),
        Lion(0.01): FIRST - 0.01 * np.sign(GRADIENT),
        Lion(0.01, weight_decay=0.1, decay_on=DecayOn.ALL): FIRST - 0.01 * (np.sign(GRADIENT) + decayed),
        Muon(0.01): FIRST - 0.01 * np.sign(GRADIENT),  # a vector: AdamW's
        # the second moment of update 1 is the squared gradient alone; the step is in the parameter's own measure
        Adafactor(0.01, relative=False): FIRST - 0.01 * np.sign(GRADIENT),
        Adafactor(0.01): FIRST - 0.01 * np.sign(GRADIENT) * np.sqrt((FIRST**2).mean()),
        AdamW(Linear(0.04, warmup=4)): FIRST - 0.01 * np.sign(GRADIENT),
    }
    for optimiser, expected in cases.items():
        np.testing.assert_allclose(steps(optimiser, 1), expected, rtol=1e-5, err_msg=str(optimiser))


def test_the_second_update_remembers_the_first():
    one = FIRST - 0.01 * GRADIENT
    np.testing.assert_allclose(steps(SGD(0.01), 2), one - 0.01 * (CURVATURE * one + 0.9 * GRADIENT), rtol=1e-5)
    np.testing.assert_allclose(steps(SGD(0.01, momentum=0.0), 2), one - 0.01 * CURVATURE * one, rtol=1e-5)
    m = 0.9 * 0.01 * GRADIENT + 0.1 * CURVATURE * steps(Lion(0.5), 1)  # Lion looks at a nearer mean than it keeps
    np.testing.assert_allclose(steps(Lion(0.5), 2), steps(Lion(0.5), 1) - 0.5 * np.sign(m), rtol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (AdamW(3e-3, b1=0.8, b2=0.95, weight_decay=0.1), optax.adamw(3e-3, 0.8, 0.95, weight_decay=0.1)),
        (AdamW(3e-3, clip=0.1), optax.chain(optax.clip_by_global_norm(0.1), optax.adam(3e-3))),
        (SGD(0.1, 0.0, momentum=0.8, nesterov=True), optax.sgd(0.1, 0.8, nesterov=True)),
        (Lion(1e-2, weight_decay=0.3), optax.lion(1e-2, weight_decay=0.3)),
        (Muon(1e-2, momentum=0.9, nesterov=False), optax.contrib.muon(1e-2, beta=0.9, nesterov=False, consistent_rms=0.2)),  # noqa: E501
        (Muon(1e-2), optax.contrib.muon(1e-2, consistent_rms=0.2)),
        (Adafactor(1e-2, factored_from=4), optax.adafactor(1e-2, min_dim_size_to_factor=4)),
        (Adafactor(1e-2, factored_from=9), optax.adafactor(1e-2, min_dim_size_to_factor=9)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_matrix_moves_as_optax_moves_it(ours, theirs):
    keys = jax.random.split(jax.random.key(0), 4)
    matrix, *gradients = (jax.random.normal(key, (5, 8)) for key in keys)
    found, _ = moved(ours, {"kernel": matrix}, [{"kernel": one} for one in gradients])
    state = theirs.init(matrix)
    for gradient in gradients:
        change, state = theirs.update(gradient, state, matrix)
        matrix = matrix + change
    np.testing.assert_allclose(found["kernel"], matrix, rtol=2e-5, atol=2e-6)


def test_muons_matrices_are_nearly_orthogonal_and_of_its_size():
    """Singular values between 0.68 and 1.13 of one another's scale, as the iteration's coefficients give them."""
    gradient = {"kernel": jax.random.normal(jax.random.key(1), (6, 24))}
    found, _ = moved(Muon(1.0), jax.tree.map(jnp.zeros_like, gradient), [gradient])
    singular = np.linalg.svd(np.asarray(found["kernel"]), compute_uv=False) / (0.2 * np.sqrt(24))
    assert singular.min() > 0.6 and singular.max() < 1.25
    assert 0.12 < float(jnp.sqrt(jnp.mean(found["kernel"] ** 2))) < 0.25


@functools.cache
def network() -> tuple:
    """A transformer's parameters, its blocks one by one, and gradients of three updates."""
    tokens = jnp.zeros((2, 5), jnp.int32)
    one_by_one = Transformer(width=8, blocks=3, heads=2, hidden=16, vocabulary=7, positions=5)
    params, scanned = (
        jax.jit(net.init)(jax.random.key(0), tokens, None, None)["params"]
        for net in (one_by_one, one_by_one.clone(scan=True))
    )
    assert jax.tree.map(jnp.shape, stacked(params)) == jax.tree.map(jnp.shape, scanned)
    leaves, tree = jax.tree.flatten(params)

    def drawn(number: int, scale: float):
        keys = jax.random.split(jax.random.key(number), len(leaves))
        sizes = 10.0 ** jax.random.randint(keys[0], (len(leaves),), -3, 1)  # norms that differ from block to block
        of = zip(leaves, keys, sizes, strict=True)
        return jax.tree.unflatten(tree, [size * scale * jax.random.normal(key, leaf.shape) for leaf, key, size in of])

    return jax.tree.map(jnp.add, params, drawn(9, 0.3)), [drawn(number, 1.0) for number in range(3)]


@pytest.mark.parametrize("optimiser", SHIPPED, ids=KINDS)
@pytest.mark.parametrize("decay_on", DecayOn)
def test_scanned_and_single_blocks_get_the_same_updates(optimiser, decay_on):
    """With a schedule, decay, a clip and groups; `network` holds the stacks to be those of the network's `scan`."""
    params, gradients = network()
    groups = (Group("mlp/in", rate_scale=0.5), Group("norm|head", weight_decay=0.2))
    optimiser = dataclasses.replace(
        optimiser, learning_rate=Cosine(0.02, warmup=2), weight_decay=0.1, decay_on=decay_on, clip=1.0, groups=groups
    )
    single, _ = moved(optimiser, params, gradients)
    stack, _ = moved(optimiser, stacked(params), [stacked(gradient) for gradient in gradients])
    assert any("blocks/" in path for path in paths(stack))
    for path, a, b in zip(paths(single), jax.tree.leaves(single), jax.tree.leaves(unstacked(stack)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=path)


@pytest.mark.parametrize("optimiser", SHIPPED, ids=KINDS)
@pytest.mark.parametrize("arrange", [lambda params: params, stacked], ids=["single", "stacked"])
def test_decay_leaves_biases_norms_and_embeddings_untouched(optimiser, arrange):
    """Without a gradient decay alone moves: every matrix by 1 - rate * decay, no other leaf in a single bit."""
    params = arrange(network()[0])
    nothing = jax.tree.map(jnp.zeros_like, params)
    decayed = dataclasses.replace(optimiser, learning_rate=0.5, weight_decay=0.1)
    after, _ = moved(decayed, params, [nothing])
    kept = {path for path, a, b in zip(paths(params), *map(jax.tree.leaves, (params, after)), strict=True) if (a == b).all()}  # noqa: E501
    assert kept == {path for path in paths(params) if path.endswith(("bias", "scale", "embedding"))}
    for path, a, b in zip(paths(params), *map(jax.tree.leaves, (params, after)), strict=True):
        np.testing.assert_allclose(b, a * (1 if path in kept else 0.95), rtol=1e-6, err_msg=path)
    everywhere, _ = moved(dataclasses.replace(decayed, decay_on=DecayOn.ALL), params, [nothing])
    for a, b in zip(*map(jax.tree.leaves, (params, everywhere)), strict=True):
        np.testing.assert_allclose(b, 0.95 * a, rtol=1e-6)


def test_the_first_group_that_matches_sets_a_leafs_rate_and_decay():
    params = {"a": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "b": {"kernel": jnp.ones((2, 2))}}
    groups = (Group("a/kernel", rate_scale=0.5), Group("^a", rate_scale=2.0, weight_decay=0.3))
    found, _ = moved(
        SGD(0.1, weight_decay=0.2, momentum=0.0, groups=groups), params, [jax.tree.map(jnp.ones_like, params)]
    )
    np.testing.assert_allclose(found["a"]["kernel"], 1 - 0.1 * 0.5 * (1 + 0.2), rtol=1e-6)  # decay as without a group
    np.testing.assert_allclose(found["a"]["bias"], 1 - 0.1 * 2.0 * (1 + 0.3), rtol=1e-6)  # its own, though a bias
    np.testing.assert_allclose(found["b"]["kernel"], 1 - 0.1 * (1 + 0.2), rtol=1e-6)
    frozen = {"a": {"kernel": params["a"]["kernel"], "bias": None}, "b": {"kernel": None}}
    found, _ = moved(SGD(0.1, momentum=0.0, groups=groups[1:]), frozen, [frozen])
    assert found["b"]["kernel"] is None and float(found["a"]["kernel"][0, 0]) == pytest.approx(1 - 0.1 * 2 * 1.3)


def test_muon_moves_the_matrices_that_are_neither_tables_nor_heads():
    params = network()[0]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    theirs = {path_of(keys) for keys, leaf in leaves if Muon().orthogonal(path_of(keys), leaf)}
    assert theirs == {path for path in paths(params) if path.endswith("kernel") and not path.startswith("head")}
    stack = jax.tree_util.tree_leaves_with_path(stacked(params))
    assert sum(Muon().orthogonal(path_of(keys), leaf) for keys, leaf in stack) == len(theirs) // 3
    convolution = jnp.zeros((3, 3, 4, 8))
    assert not Muon().orthogonal("stage_0/Conv_0/kernel", convolution)
    assert Muon(adam_on=None).orthogonal("head/kernel", jnp.zeros((8, 7)))
    assert not Muon(adam_on="mlp").orthogonal("block_0/mlp/in/kernel", jnp.zeros((8, 7)))
    assert not Muon().orthogonal("condition/kernel", jnp.zeros((11, 8)))


def test_adafactor_keeps_rows_and_columns_alone():
    params = {"blocks": {"kernel": jnp.ones((3, 128, 256))}, "kernel": jnp.ones((128, 130))}
    _, state = moved(Adafactor(), params, [jax.tree.map(jnp.ones_like, params)])
    kept = sum(leaf.size for leaf in jax.tree.leaves(state))
    assert kept < 3 * (128 + 256) + (128 + 130) + 30


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: AdamW(clip=-1.0), "clip is -1.0"),
        (lambda: AdamW(-1e-3), "learning_rate is -0.001"),
        (lambda: AdamW(b2=1.0), "b2 1.0; Adam's moments need"),
        (lambda: AdamW(eps=0.0), "eps is 0.0; give a number above 0"),
        (lambda: SGD(momentum=1.0), "momentum is 1.0; give a number from 0 up to"),
        (lambda: Lion(b1=-0.1), "b1 is -0.1"),
        (lambda: Muon(iterations=0), "iterations is 0"),
        (lambda: Muon(adam_on="("), "is no regular expression"),
        (lambda: Adafactor(clip_rms=0.5), "clip_rms 0.5"),
        (lambda: Group("["), "is no regular expression"),
        (lambda: Group("a", rate_scale=0.0), "freeze leaves by the experiment's `trainable`"),
        (lambda: Group("a", weight_decay=-1.0), "weight_decay -1.0; give 0 or more, or none"),
        (
            lambda: SGD(groups=(Group("hed"),)).build(1).init({"head": jnp.ones(2)}),
            "'hed' matches no parameter; did you mean 'head'",
        ),
    ],
)
def test_optimisers_that_cannot_be(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


FINITE = [AdamW(weight_decay=0.1), AdamW(Cosine(peak=1.0), b2=0.5, eps=1e-20), SGD(), SGD(nesterov=True), Lion()]
NUMBERS = st.builds(lambda sign, power: sign * 10.0**power, st.sampled_from([-1, 0, 1]), st.floats(-44, 18.9))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FINITE), st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=4))
def test_what_counts_as_finite_for_sure_is(optimiser, gradients):
    """Of any gradients whose norm is finite in float32, from underflow to the largest."""
    assert surely_finite(optimiser)
    params = {"kernel": jnp.ones((1, 3))}
    after = moved(optimiser, params, [{"kernel": jnp.asarray([one], jnp.float32)} for one in gradients])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


@dataclasses.dataclass(frozen=True)
class OwnRate:
    def build(self, updates):
        return lambda count: jnp.nan


@dataclasses.dataclass(frozen=True)
class OwnRule(AdamW):
    def rule(self):
        return optax.scale(jnp.inf)


@pytest.mark.parametrize(
    "optimiser",
    [
        AdamW(eps=1e-44),
        AdamW(float("inf")),
        SGD(Cosine(peak=float("inf"))),
        AdamW(OwnRate()),
        OwnRule(),
        AdamW(groups=(Group("kernel", 1e30),)),
        Muon(),
        Adafactor(),
    ],
    ids=str,
)
def test_of_all_else_what_is_written_is_looked_at(optimiser):
    assert not surely_finite(optimiser)
