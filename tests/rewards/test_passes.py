"""Several passes over one rollout: the same batch again, and a surrogate whose ratio stops counting at its clip."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.task import Trajectory
from jaxgen.errors import UserError
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.rewards.tuned import Samples, TunedGame
from jaxgen.types import Variables
from tests.rewards.translators import PROMPTS, Agreement, translator

KEY, ROWS = jax.random.key(0), jnp.arange(8)
ONCE = ScoreFunction(Agreement(), group=4)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_a_rollout_is_kept_for_its_passes_and_the_first_gradient_is_that_of_one_pass():
    task, variables = translator()
    thrice = replace(ONCE, passes=3)
    one, three = (Samples.of(task, tuning, 8, PROMPTS) for tuning in (ONCE, thrice))
    begun = jax.jit(three.init)(KEY, variables.params)
    draw, state, batches = jax.jit(three.next), begun, []
    for number in range(4):
        moved = variables.replace(params=jax.tree.map(lambda leaf, n=number: leaf * (1 + 0.1 * n), variables.params))
        batch, state = draw(state, moved, jnp.int32(number), ROWS)
        assert jax.tree.structure(state) == jax.tree.structure(begun)
        batches.append(batch)
    alone = jax.jit(one.next)(one.init(KEY, variables.params), variables, jnp.int32(0), ROWS)[0]
    assert same(batches[0], alone) and same(batches[0], batches[1]) and same(batches[0], batches[2])
    assert not same(batches[0], batches[3])
    gradients = [
        jax.jit(jax.grad(lambda p, how=how: TunedGame(task, how).loss(Variables(p), alone, KEY)[0].value))(
            variables.params
        )
        for how in (ONCE, thrice)
    ]
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


class Direct:
    """A policy of one action whose log-probabilities are the parameters themselves."""

    def score(self, variables, trajectory):
        return variables.params


@pytest.mark.parametrize(
    ("ratio", "advantage", "counts"),
    [(1.1, 1.0, True), (1.3, 1.0, False), (0.7, 1.0, True), (0.7, -1.0, False), (1.3, -1.0, True), (0.9, -1.0, True)],
)
def test_a_ratio_counts_no_further_than_its_clip(ratio, advantage, counts):
    tuning = replace(ONCE, passes=2, clip=0.2)
    old = jnp.log(jnp.full((1, 1), 0.25))
    batch = {"trajectory": Trajectory({}, None, old, {}), "advantage": jnp.array([advantage])}

    def loss(log_prob):
        return tuning.loss(Direct(), Variables(log_prob), batch).value

    gradient = jax.grad(loss)(old + jnp.log(ratio))[0, 0]
    np.testing.assert_allclose(gradient, -ratio * advantage if counts else 0.0, rtol=1e-5)


def test_a_part_of_a_rollout_is_not_kept_and_odd_numbers_are_refused():
    task, variables = translator()
    source = Samples.of(task, replace(ONCE, passes=2), 8, PROMPTS)
    with pytest.raises(UserError, match="keeps whole rollouts"):
        jax.eval_shape(source.next, source.init(KEY, variables.params), variables, jnp.int32(0), jnp.arange(4))
    for fields in ({"passes": 0}, {"clip": 0.0}, {"clip": 1.0}):
        with pytest.raises(UserError, match=r"rewards.passes is"):
            replace(ONCE, **fields)
