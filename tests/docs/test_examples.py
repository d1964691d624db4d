"""Truths of the examples in docs/examples, which docs/extending.md runs: probabilities, rewards and data."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.core.data import Data, Finite, Named
from jaxgen.core.task import Likelihood, Task
from jaxgen.experiment import Experiment
from jaxgen.types import Image, Spec
from tests.docs.runner import ROOT

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("own_*.py"))
SPEC = Spec(Image(1, 3, 1, levels=3))


def example(name: str) -> Experiment:
    return load_experiment(ROOT / "docs" / "examples" / f"own_{name}.py", Experiment)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_on_the_page_and_can_be_kept_by_a_run(path):
    assert f"examples/{path.name}" in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    assert "fields" in to_document(load_experiment(path, Experiment))


@pytest.mark.parametrize("name", ["task", "family"])
def test_probabilities_of_all_pictures_sum_to_one(name):
    """Of the 27 pictures of three pixels; and samples come as often as the likelihood says."""
    task = example(name).task.sized(SPEC)
    assert isinstance(task, Task) and isinstance(task, Likelihood)
    params = task.init(jax.random.key(0))
    variables = params.replace(params=jax.tree.map(lambda leaf: 3 * leaf + 0.1, params.params))
    pictures = np.array(list(itertools.product(range(3), repeat=3)), np.uint8).reshape(-1, 1, 3, 1)
    batch = {"row": jnp.arange(27), "given": {}, "made": {"value": jnp.asarray(pictures)}}
    probabilities = np.exp(np.asarray(jax.jit(task.log_prob)(variables, batch, jax.random.key(1)), np.float64))
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
    count = 20_000
    request = {"row": jnp.arange(count), "given": {}}
    drawn = np.asarray(jax.jit(task.sample)(variables, request, jax.random.key(2))["made"]["value"])
    places = drawn.reshape(count, 3) @ np.array([9, 3, 1])
    seen = np.bincount(places, minlength=27) / count
    assert np.abs(seen - probabilities).max() < 5 * np.sqrt(0.25 / count)


def test_the_reward_is_one_for_mirror_images_alone():
    reward = example("reward").rewards.reward
    picture = np.random.default_rng(0).integers(0, 17, (2, 8, 8, 1)).astype(np.uint8)
    picture[1] = np.maximum(picture[1], picture[1][:, ::-1])
    prepared = reward.prepare(Spec(Image(8, 8, 1, levels=17)))
    found = np.asarray(reward(prepared, {"made": {"value": jnp.asarray(picture)}}))
    assert 0 < found[0] < 1 and found[1] == 1


def test_bars_lie_as_their_class_says():
    data = example("data").data
    assert isinstance(data, Data) and isinstance(data, Finite) and isinstance(data, Named)
    first = data.first("test", 200)
    value, upright = first["made"]["value"][..., 0], first["given"]["class"]["value"]
    rows, columns = (value > 0).all(axis=2).sum(axis=1), (value > 0).all(axis=1).sum(axis=1)
    assert (rows == 1 - upright).all() and (columns == upright).all() and value.max() <= 3
    assert data.evaluation("test")["weight"].sum() == 200
