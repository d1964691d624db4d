"""bfloat16 changes products alone, rematerialisation changes memory alone, and a scan over blocks changes nothing."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.layout import check_layout
from jaxgen.core.masks import paths
from jaxgen.core.surgery import arranged, stacked, unstacked
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Experiment
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.training.costs import Costs
from jaxgen.types import Variables
from tests.commands.command import ROOT
from tests.core.test_layout import lowers_everywhere
from tests.families.cases import DIGITS, KEY, batch_of, lively, request_of, source_of
from tests.families.test_contract import changed

# the U-Net takes as long as all others together
most_families = pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name == "diffusion-unet")) for name in DIGITS]
)
NETWORKS = {"gan": ("generator", "discriminator"), "vae": ("encoder", "decoder")}
WITH_BLOCKS = ("transformer", "vae", "diffusion")
BATCH = jax.tree.map(np.asarray, batch_of("rnn", 8))


@functools.cache
def task_with(family, *fields):
    """The family's small digits task with fields of all its networks set."""
    experiment = load_experiment(ROOT / f"configs/{DIGITS[family].config}.py", Experiment)
    names = NETWORKS.get(family, ("network",))
    changes = [f"task.{name}.{field}" for name, field in itertools.product(names, fields)]
    return set_fields(experiment, [*DIGITS[family].small, *changes]).task.sized(Pictures().spec())


def losses_of(family, *fields):
    """All turns' losses at once, each divided by its weight, with dropout and all."""
    task, extra = task_with(family, *fields), lively(family).extra

    def losses(params):
        variables = Variables(params, extra)
        means = [turn.loss(variables, BATCH, KEY)[0] for turn in task.turns()]
        return sum(mean.total / mean.weight for mean in means)

    return losses


@functools.cache
def learned(family, *fields):
    """The loss and its gradient under some fields, the blocks one by one in what comes back."""
    scans, params = "scan=true" in fields, lively(family).params
    loss, gradient = jax.jit(jax.value_and_grad(losses_of(family, *fields)))(stacked(params) if scans else params)
    return loss, unstacked(gradient) if scans else gradient


def equations(jaxpr):
    """All operations of a jaxpr, and of those within them."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda leaf: isinstance(leaf, Jaxpr)):
            if isinstance(value, ClosedJaxpr | Jaxpr):
                yield from equations(value.jaxpr if isinstance(value, ClosedJaxpr) else value)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def close(left, right, tolerance=2e-5):
    left, right = flat(left), flat(right)
    assert np.abs(left - right).max() < tolerance * np.abs(right).max()


@most_families
def test_bfloat16_is_for_products_and_what_is_learned_stays_float32(family):
    """The gradient points where the float32 one does; all that is exponentiated or normed is float32."""
    params, task = lively(family).params, task_with(family, "precision=BFLOAT16")
    assert jax.tree.map(jnp.shape, jax.jit(task.init)(KEY).params) == jax.tree.map(jnp.shape, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(task.init, KEY).params)} == {jnp.dtype("float32")}
    loss, gradient = learned(family, "precision=BFLOAT16")
    expected, true_gradient = learned(family)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")} and loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, expected, rtol=0.03)
    a, b = flat(gradient), flat(true_gradient)
    assert 1 - 1e-2 < a @ b / np.linalg.norm(a) / np.linalg.norm(b) < 1 - 1e-8
    operations = list(equations(jax.make_jaxpr(losses_of(family, "precision=BFLOAT16"))(params).jaxpr))
    assert not in_halves(operations) & {"exp", "log", "log1p", "rsqrt", "sqrt", "reduce_sum", "cumsum"}
    backward = equations(jax.make_jaxpr(jax.grad(losses_of(family, "precision=BFLOAT16")))(params).jaxpr)
    assert not in_halves(backward) & {"exp", "log", "log1p", "rsqrt", "sqrt", "scatter-add", "cumsum"}
    products = [eqn for eqn in operations if eqn.primitive.name in ("dot_general", "conv_general_dilated")]
    half = [eqn for eqn in products if {var.aval.dtype for var in eqn.invars} == {jnp.dtype("bfloat16")}]
    # in float32: what a condition chooses, whose product asks for the highest precision; the VAE's density, the
    # mean over levels of diffusion, R1 and R2's gradients with respect to float32 pictures
    products = [eqn for eqn in products if "HIGHEST" not in str(eqn.params.get("precision"))]
    but_one = len(products) - 1  # of a U-Net the last convolution gives float32
    least = {"vae": 10, "diffusion": but_one, "diffusion-unet": but_one, "gan": 20}
    assert len(half) >= least.get(family, len(products))


def in_halves(operations):
    """The names of the operations whose results are bfloat16."""
    return {eqn.primitive.name for eqn in operations if eqn.outvars and eqn.outvars[0].aval.dtype == jnp.bfloat16}


def test_a_token_that_comes_a_thousand_times_has_its_gradient_summed_in_float32():
    """In bfloat16 a sum of ones ends at 256."""
    tokens = jax.random.bernoulli(KEY, 0.1, (4, 512)).astype(jnp.int32)  # one in ten is another

    def gradient(precision):
        network = Transformer(width=16, blocks=1, heads=2, hidden=32, vocabulary=3, precision=precision)
        params = lively_params(network, tokens)
        loss = lambda params: network.apply({"params": params}, tokens, None, None)[0].mean(axis=-1).sum()  # noqa: E731
        return jax.jit(jax.grad(loss))(params)

    expected, found = map(gradient, (Precision.FLOAT32, Precision.BFLOAT16))
    for path, a, b in zip(paths(expected), jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert np.abs(a - b).max() < 0.05 * np.abs(a).max(), path


@functools.partial(jax.jit, static_argnums=0)
def lively_params(network, tokens):
    params = network.init(KEY, tokens, None, None)["params"]
    return jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)


def test_an_answer_is_rounded_nowhere_and_its_gradients_products_are_of_halves():
    x, kernel = (jax.random.normal(jax.random.key(seed), shape) for seed, shape in ((0, (64, 32)), (1, (32, 8))))
    dimensions, product = (((1,), (0,)), ((), ())), Precision.BFLOAT16.product
    rounded = [array.astype(jnp.bfloat16).astype(jnp.float32) for array in (x, kernel)]
    np.testing.assert_allclose(product(x, kernel, dimensions), rounded[0] @ rounded[1], rtol=1e-5, atol=1e-5)
    loss = lambda x, kernel: (product(x, kernel, dimensions) ** 2).sum()  # noqa: E731
    expected = jax.grad(lambda x, kernel: ((x @ kernel) ** 2).sum(), argnums=(0, 1))(x, kernel)
    for a, b in zip(jax.grad(loss, argnums=(0, 1))(x, kernel), expected, strict=True):
        assert np.abs(a - b).max() < 0.02 * np.abs(b).max()
    operations = equations(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(x, kernel).jaxpr)
    kinds = [{var.aval.dtype for var in eqn.invars} for eqn in operations if eqn.primitive.name == "dot_general"]
    assert len(kinds) >= 3 and all(kind == {jnp.dtype("bfloat16")} for kind in kinds)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_product_of_halves_is_summed_in_float32_to_any_order(dtype):
    """Of activations and of answers; a gradient penalty trains by second derivatives."""
    x = jax.random.uniform(KEY, (4, 512, 16), dtype)
    kernel = jax.random.normal(jax.random.key(1), (16, 3), dtype)

    def derivatives(precision, x, kernel):
        answer = lambda *both: precision.product(*both, (((2,), (0,)), ((), ()))).astype(jnp.float32)  # noqa: E731
        first = jax.grad(lambda *both: (answer(*both) ** 3).sum(), argnums=(0, 1))
        second = jax.grad(lambda *both: sum((part.astype(jnp.float32) ** 2).mean() for part in first(*both)), (0, 1))
        return jax.grad(lambda *both: answer(*both).sum(), argnums=(0, 1))(x, kernel), second(x, kernel)

    expected = derivatives(Precision.FLOAT32, x.astype(jnp.float32), kernel.astype(jnp.float32))
    found = jax.jit(derivatives, static_argnums=0)(Precision.BFLOAT16, x, kernel)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == dtype and np.abs(a.astype(jnp.float32) - b).max() < 0.02 * np.abs(b).max()


@pytest.mark.parametrize("remat", ["FULL", pytest.param("PRODUCTS", marks=pytest.mark.slow)])
@most_families
def test_rematerialisation_gives_the_same_gradients(family, remat):
    params, fields = lively(family).params, f"remat={remat}"
    task = task_with(family, fields)
    shapes, same = (jax.eval_shape(one.init, KEY).params for one in (task, task_with(family)))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, same)
    assert any(
        eqn.primitive.name == "remat2" for eqn in equations(jax.make_jaxpr(losses_of(family, fields))(params).jaxpr)
    )
    close(learned(family, fields), learned(family))


def test_the_less_is_kept_the_less_memory_a_step_is_told_to_need():
    tokens = jnp.zeros((4, 64), jnp.int32)

    def costs(remat):
        network = Transformer(width=32, blocks=6, heads=2, hidden=128, vocabulary=11, remat=remat)
        params = jax.eval_shape(network.init, KEY, tokens, None, None)["params"]
        loss = jax.grad(lambda params: network.apply({"params": params}, tokens, None, None)[0].sum())
        jaxpr = jax.make_jaxpr(loss)(params).jaxpr
        return Costs().peak_bytes(jaxpr, [True] * len(jaxpr.outvars)), Costs().flops(jaxpr)

    peaks, flops = zip(*map(costs, Remat), strict=True)
    none, products, full = peaks
    assert full < products < none and full < 0.6 * none
    none, products, full = flops
    assert none < products < full < 1.45 * none


@pytest.mark.parametrize("family", WITH_BLOCKS)
@pytest.mark.parametrize("remat", ["NONE", "FULL"])
def test_a_scan_over_blocks_is_the_blocks_one_by_one(family, remat):
    """With dropout, whose draws are each block's own; and a layout that covers one covers the other."""
    scanned = task_with(family, "scan=true", f"remat={remat}")
    shapes = jax.eval_shape(scanned.init, KEY).params
    assert jax.tree.map(jnp.shape, stacked(lively(family).params)) == jax.tree.map(jnp.shape, shapes)
    check_layout(scanned.layout(), shapes)
    close(learned(family, "scan=true", f"remat={remat}"), learned(family))


@pytest.mark.parametrize("family", WITH_BLOCKS)
def test_a_scanned_step_is_as_long_for_any_depth(family):
    def length(blocks, scan):
        fields = f"scan={scan}", f"blocks={blocks}"
        params = jax.eval_shape(task_with(family, *fields).init, KEY).params
        return len(list(equations(jax.make_jaxpr(jax.grad(losses_of(family, *fields)))(params).jaxpr)))

    assert length(2, "true") == length(5, "true") < length(5, "false")


@pytest.mark.parametrize("family", [pytest.param(f, marks=[pytest.mark.slow] * (f != "transformer")) for f in DIGITS])
def test_in_bfloat16_and_rematerialised_it_lowers_for_every_platform(family):
    fields = ["precision=BFLOAT16", "remat=FULL", *(["scan=true"] if family in WITH_BLOCKS else [])]
    lowers_everywhere(task_with(family, *fields), source_of(family), request_of(family, 4))


def test_stacked_blocks_are_told_apart_again_and_laid_as_another_lies():
    deep = {"head": 1.0, "trunk": {f"block_{n}": {"kernel": jnp.full((2, 3), n)} for n in range(11)}}
    stack = stacked(deep)
    assert stack["trunk"]["blocks"]["kernel"].shape == (11, 2, 3) and stack["trunk"]["blocks"]["kernel"][10, 0, 0] == 10
    assert not any(changed(unstacked(stack), deep).values())
    for like in (deep, stack):
        for params in (deep, stack):
            assert not any(changed(arranged(params, like), like).values())
    unlike = {"block_0": {"kernel": jnp.ones(2)}, "block_1": {"kernel": jnp.ones(3)}, "blocks": 1.0}
    for params, other in ((deep, {"head": 1.0}), (unlike, deep), (unlike, stack), (unlike, unlike)):
        assert arranged(params, other) is params  # whoever asked tells what does not fit
