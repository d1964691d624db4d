"""The gradient that the source hands over and the turn lets through is the objective's own."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.masks import Matching, paths, split
from jaxgen.errors import UserError
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.ops.levels import to_unit
from jaxgen.rewards.pathwise import Pathwise
from jaxgen.rewards.tuned import Samples, TunedGame
from jaxgen.types import Spec, Variables
from tests.given import pictures, values_of

KEY, ROWS = jax.random.key(0), jnp.arange(12)
SPEC = pictures((2, 2, 1), levels=5, classes=3)


@dataclass(frozen=True)
class Near:
    """Highest where every pixel is 3."""

    def prepare(self, spec: Spec) -> Any:
        return {"wanted": np.float32(3)}

    def __call__(self, prepared: Any, example: Any) -> jax.Array:
        return jnp.exp(-((values_of(example).astype(jnp.float32) - prepared["wanted"]) ** 2).mean(axis=(1, 2, 3)))


def generator(seed: int) -> tuple[Gan, Variables]:
    task = Gan(Generator(width=8, latent=4), Discriminator(width=8)).sized(SPEC)
    return task, jax.jit(task.init)(jax.random.key(seed))


def test_the_turns_gradient_is_the_objectives_and_its_value_too():
    (task, variables), (_, start) = generator(0), generator(1)
    tuning = Pathwise(Near(), distance_coef=0.7)
    source = Samples.of(task, tuning, 12)
    moving, _ = split(start.params, Matching("^generator/")(start.params))
    state = source.init(KEY, moving)
    batch, _ = jax.jit(source.next)(state, variables, jnp.int32(5), ROWS)

    def objective(params):
        key = jax.random.fold_in(KEY, 5)
        image, before = (values_of(task.draw(Variables(p), {"row": ROWS}, key)) for p in (params, start.params))
        distance = ((to_unit(image, 5) - to_unit(before, 5)) ** 2).mean(axis=(1, 2, 3))
        return (Near()({"wanted": 3.0}, {"made": {"value": image}}) - 0.7 * distance).mean()

    def loss(params):
        return TunedGame(task, tuning).loss(Variables(params), batch, jax.random.key(99))[0].value

    value, exact = jax.jit(jax.value_and_grad(objective))(variables.params)
    told, gradient = jax.jit(jax.value_and_grad(loss))(variables.params)
    np.testing.assert_allclose(told, -value, rtol=1e-5)
    for path, a, b in zip(paths(exact), jax.tree.leaves(exact), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(-b, a, rtol=1e-4, atol=1e-7, err_msg=path)
    assert np.abs(exact["generator"]["to_picture"]["kernel"]).max() > 1e-3
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(exact["discriminator"]))


def test_a_run_that_has_not_moved_has_no_distance():
    task, variables = generator(0)
    source = Samples.of(task, Pathwise(Near()), 12)
    batch, _ = jax.jit(source.next)(source.init(KEY, variables.params), variables, jnp.int32(0), ROWS)
    assert not np.any(batch["squared_distance"]) and 0 < float(batch["reward"].mean()) < 1
    whole = values_of(source.examples(variables, {"row": ROWS}, jax.random.fold_in(KEY, 0)))
    assert whole.dtype == jnp.uint8 and np.abs(whole - batch["start"]).max() < 1e-5


def test_a_users_mistake_is_told_in_a_sentence():
    with pytest.raises(UserError, match=r"rewards.distance_coef"):
        Pathwise(Near(), distance_coef=-0.1)
    with pytest.raises(UserError, match="ScoreFunction"):
        Pathwise(Near()).check(object(), 12)
