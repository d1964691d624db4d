"""What is read off a jaxpr is what can be counted by hand, and what XLA counts of the families' steps."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.running.estimate import estimate, shapes_of
from jaxgen.training.costs import Costs
from jaxgen.training.parallel import Parallel
from tests.commands.command import ROOT

A, B = jnp.zeros((3, 5)), jnp.zeros((5, 7))
PRODUCT = 2 * 3 * 5 * 7  # a multiplication and an addition for each


def jaxpr(function, *arguments):
    return jax.make_jaxpr(function)(*arguments).jaxpr


def flops(function, *arguments) -> float:
    return Costs().flops(jaxpr(function, *arguments))


def test_products_convolutions_and_elements():
    assert flops(jnp.matmul, A, B) == PRODUCT
    assert flops(lambda a, b: jnp.tanh(a @ b) + 1, A, B) == PRODUCT + 2 * 21
    assert flops(lambda a: a.sum(), A) == 15
    assert flops(lambda a: a.T.reshape(-1), A) == 0
    pictures, kernel = jnp.zeros((2, 8, 8, 4)), jnp.zeros((3, 3, 4, 6))
    convolve = lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))  # noqa: E731, E501
    assert flops(convolve, pictures, kernel) == 2 * (2 * 8 * 8 * 6) * (3 * 3 * 4)


def test_products_of_halves_are_told_apart():
    half, scale = B.astype(jnp.bfloat16), jnp.float32(3)
    mixed = jaxpr(lambda a, b: jnp.tanh(a.astype(b.dtype) @ b) @ b.T * scale + (a @ b.astype(a.dtype)).sum(), A, half)
    assert Costs().flops(mixed, halves=True) == 2 * PRODUCT < Costs().flops(mixed)


def test_a_product_has_two_more_in_its_gradient():
    loss = lambda a, b: (a @ b).sum()  # noqa: E731
    both = flops(jax.grad(loss, argnums=(0, 1)), A, B)
    assert 2 * PRODUCT <= both <= 3 * PRODUCT + 21


@pytest.mark.parametrize("length", [1, 6])
def test_a_loop_counts_as_often_as_it_runs_and_a_choice_as_its_dearest(length):
    square = jnp.zeros((5, 5))
    looped = lambda a: jax.lax.scan(lambda x, _: (x @ square, None), a, None, length)[0]  # noqa: E731
    assert flops(looped, A) == length * 2 * 3 * 5 * 5
    chosen = lambda p, a: jax.lax.cond(p, lambda x: x @ square, lambda x: x, a)  # noqa: E731
    assert flops(chosen, True, A) == 2 * 3 * 5 * 5


def test_memory_is_held_from_the_first_writing_to_the_last_reading():
    """Each product's result is read by the next alone: two of them are held at one time, however many there are."""
    square = jnp.zeros((100, 100))

    def chain(x):
        for _ in range(5):
            x = x @ square
        return x

    def kept(x):
        found = [x]
        for _ in range(4):
            found.append(found[-1] @ square)
        return sum(one @ one for one in found)

    assert Costs().peak_bytes(jaxpr(chain, square), [False]) == 2 * 40_000
    assert Costs().peak_bytes(jaxpr(chain, square), [True]) == 2 * 40_000  # the last is written over the argument
    assert Costs().peak_bytes(jaxpr(kept, square), [False]) >= 5 * 40_000


def test_what_xla_fuses_is_not_held():
    wide = jnp.zeros((1000,))
    assert Costs().peak_bytes(jaxpr(lambda x: (jnp.tanh(x) * 2 + 1).sum(), wide), [False]) < 100


@pytest.mark.parametrize("family", ["transformer", pytest.param("vae", marks=pytest.mark.slow), "diffusion"])
def test_steps_cost_what_xla_counts_of_them(family):
    """No loops are in these: XLA counts a loop's body once. Its memory is a matter of its own plans; ours is near."""
    experiment = load_experiment(ROOT / f"configs/{family}/digits.py", Experiment)
    assembly = assemble(dataclasses.replace(experiment, parallel=Parallel(data=1)))
    state = shapes_of(assembly)
    found = estimate(assembly, state)
    batch = jax.tree.map(lambda one: jax.ShapeDtypeStruct((1, *one.shape), one.dtype), assembly.batch())
    compiled = assembly.devices.lower(assembly.game, state, (batch,) * assembly.game.draws, False, False).compile()
    memory = compiled.memory_analysis()
    assert found.flops == pytest.approx(compiled.cost_analysis()["flops"], rel=0.05)
    beside = found.memory.gradients + found.memory.activations
    assert 0.5 < beside / memory.temp_size_in_bytes < 2
