"""A batch taken in parts moves every leaf as the whole batch does, on any devices, in less memory."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.masks import Everything, paths
from jaxgen.core.task import Aux
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.rewards.tuned import Samples, TunedGame
from jaxgen.running.assembly import assemble
from jaxgen.training.accumulation import accumulated
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.step import init_state
from tests.families.cases import DIGITS, KEY, batch_of, lively, task_of, tuning_of
from tests.training.test_step import BATCH, duel
from tests.worlds import Duel


def after_steps(parallel: Parallel, parts: int):
    """The duel's state after two steps: ragged weights, rows, statistics, two turns of several draws."""
    game, devices = replace(duel(Everything()), accumulate=parts), parallel.place(BATCH)
    source = Pictures(batch_size=BATCH).source()
    begin = functools.partial(source.init, jax.random.key(9))
    state = devices.begin(lambda key, start: init_state(game, key, begin), KEY, None)
    feed = devices.put_feed(source, traced=True)
    program = devices.lower(game, state, feed, traced=True, loops=True).compile()
    state, metrics = program(state, feed, np.int32(2))
    plain = devices.fetch(state).replace(key=None, source=None)
    return jax.device_get(plain), jax.device_get(metrics)


@pytest.mark.parametrize(
    ("parallel", "parts"),
    [(Parallel(data=1), 3), (Parallel(data=2), 2), (Parallel(compiler=Compiler.PMAP, data=2), 3)],
    ids=["one device", "jit on two", "pmap on two"],
)
def test_parts_move_every_leaf_as_the_whole_does(parallel, parts):
    whole, metrics = _whole()
    found, more = after_steps(parallel, parts)
    for path, a, b in zip(paths(whole), jax.tree.leaves(whole), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=path)
    for name, mean in metrics.items():
        np.testing.assert_allclose(more[name].value, mean.value, rtol=2e-5, err_msg=name)


@functools.cache
def _whole():
    return after_steps(Parallel(data=1), 1)


DEAR = ("transformer", "vae", "diffusion", "diffusion-unet")


@pytest.mark.parametrize("family", [pytest.param(f, marks=[pytest.mark.slow] * (f in DEAR)) for f in DIGITS])
def test_every_familys_losses_are_sums_over_rows(family):
    batch = jax.tree.map(jnp.asarray, batch_of(family, 8))
    batch["weight"] = jnp.array([1.0, 1, 0, 1, 2, 1, 0, 1])
    parts_are_the_whole(task_of(family), lively(family), batch)


@pytest.mark.parametrize("family", ["rnn", "gan"])
def test_what_is_tuned_by_a_reward_is_taken_in_parts_too(family):
    """By a score function, and through the samples; the batch is drawn whole."""
    task, tuning, variables = task_of(family), tuning_of(family), lively(family)
    source = Samples.of(task, tuning, BATCH)
    rows = jnp.arange(BATCH, dtype=jnp.int32)
    batch, _ = jax.jit(lambda: source.next(source.init(KEY, variables.params), variables, jnp.int32(0), rows))()
    parts_are_the_whole(TunedGame(task, tuning), variables, batch)


def parts_are_the_whole(task, variables, batch):
    for turn in task.turns():

        def gradient(batch, rows, turn=turn):
            def total(params):
                mean, aux = turn.loss(variables.replace(params=params), batch, KEY)
                return mean.total, (mean, aux)

            return jax.grad(total, has_aux=True)(variables.params)

        whole, parts = (jax.jit(functools.partial(accumulated, gradient, n, True))(batch, None) for n in (1, 2))
        assert float(whole[1][0].weight) == float(parts[1][0].weight)
        for path, a, b in zip(paths(whole[0]), jax.tree.leaves(whole[0]), jax.tree.leaves(parts[0]), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * float(np.abs(a).max()) + 1e-6, err_msg=path)


def test_the_activations_of_one_part_are_held_at_a_time():
    """In XLA's own count of temporary bytes, for a loss whose activations outweigh its parameters."""
    kernel = jnp.ones((8, 4096))

    def gradient(batch, rows):
        def total(kernel):
            hidden = jnp.tanh(jnp.sin(jnp.tanh(batch["x"] @ kernel)))
            return hidden.sum(), (hidden.sum(), Aux())

        return jax.grad(total, has_aux=True)(kernel)

    def bytes_of(parts):
        program = jax.jit(lambda batch: accumulated(gradient, parts, True, batch, None)[0])
        return program.lower({"x": jnp.ones((256, 8))}).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(8) < bytes_of(1) / 3


def test_parts_that_do_not_divide_the_batch_are_told():
    experiment = Experiment(Duel(), Pictures(batch_size=24), {"left": AdamW(), "right": AdamW()}, 1, accumulate=5)
    with pytest.raises(UserError, match="accumulate is 5: a batch of 24"):
        assemble(experiment)
