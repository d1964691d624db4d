"""Diffusion as a task: contracts, conditioning, randomness by row, episodes and their densities, sizes, learning."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.masks import paths
from jaxgen.core.task import Critic, Likelihood, Policy, Task
from jaxgen.data.builtin import digits
from jaxgen.errors import UserError
from jaxgen.families.diffusion.denoiser import Prediction
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.ops.levels import to_unit
from jaxgen.training.optimisers import AdamW
from jaxgen.training.step import init_state, make_game, take_step
from jaxgen.types import Spec

KEY = jax.random.key(5)
DIGITS = Spec(image=(8, 8, 1), levels=17, classes=10)
SMALL = Diffusion(DiffusionTransformer(width=16, blocks=1, heads=2, expansion=2), steps=4, actions=5, bound_draws=3)


def sized(prediction: Prediction = Prediction.LEVELS, **fields) -> Diffusion:
    return replace(SMALL, head=head, **fields).sized(DIGITS)


def shaken(task: Diffusion, seed: int = 0):
    """Variables whose gates and outputs do something: they start at zero."""
    variables = jax.jit(task.init)(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return variables.replace(params=jax.tree.unflatten(tree, moved))


def batch_of(count: int):
    train = digits()["train"]
    rows = jnp.arange(count)
    return {"image": jnp.asarray(train["image"])[rows], "label": jnp.asarray(train["label"])[rows], "row": rows}


def test_it_keeps_the_contracts_it_can_and_no_other():
    task = sized()
    assert isinstance(task, Task) and isinstance(task, Likelihood) and isinstance(task, Policy)
    assert not isinstance(task, Critic) and "bound" in task.bound


@pytest.mark.parametrize("head", Prediction)
def test_every_leaf_moves_and_masks_can_name_it(head):
    task, batch = sized(head), batch_of(16)
    variables = shaken(task)
    gradient = jax.jit(jax.grad(lambda p: task.loss(variables.replace(params=p), batch, KEY)[0].total))(
        variables.params
    )
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))
    names = set(path.split("/")[0] for path in paths(variables.params))
    assert names == {"noise_in", "noise_out", "class", "from_patch", "position", "block_0", "final"}


@pytest.mark.parametrize("head", Prediction)
def test_the_loss_of_a_batch_is_the_sum_over_its_rows(head):
    task, batch = sized(head), batch_of(8) | {"weight": jnp.array([1.0, 0, 2, 1, 0, 1, 3, 1])}
    task = replace(task, network=task.network.clone(dropout=0.3))
    variables = shaken(task)
    loss = jax.jit(lambda batch: task.loss(variables, batch, KEY)[0])
    whole, parts = loss(batch), [loss({n: a[cut] for n, a in batch.items()}) for cut in (slice(0, 3), slice(3, 8))]
    np.testing.assert_allclose(whole.total, parts[0].total + parts[1].total, rtol=1e-5)
    assert float(whole.weight) == 9
    del batch["weight"]
    assert float(loss(batch).weight) == 8


def test_an_untrained_network_leaves_what_the_noise_alone_tells():
    x, σ, label = jnp.array([0.3, -0.9, 0.0, 1.0]).reshape(1, 2, 2, 1), jnp.array([0.4]), jnp.array([3])
    task = replace(SMALL, sigma_data=0.8).sized(Spec(image=(2, 2, 1), levels=17, classes=10))
    np.testing.assert_allclose(
        jax.jit(task.denoiser)(jax.jit(task.init)(KEY).params, x, σ, label), x * 0.8**2 / (0.8**2 + 0.4**2), rtol=1e-5
    )
    task = replace(SMALL, prediction=Prediction.LEVELS).sized(task.spec)
    levels = np.linspace(-1, 1, 17)
    weights = np.exp(-((np.asarray(x)[..., None] - levels) ** 2) / (2 * 0.4**2))
    found = jax.jit(task.denoiser)(jax.jit(task.init)(KEY).params, x, σ, label)
    np.testing.assert_allclose(found, (weights * levels).sum(-1) / weights.sum(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("head", Prediction)
def test_each_pixels_levels_sum_to_one_and_without_noise_are_certain(head):
    task, batch = sized(head), batch_of(4)
    variables, x = shaken(task), to_unit(batch["image"], 17)
    level_log_prob = jax.jit(task.denoiser.level_log_prob)
    log_prob = level_log_prob(variables.params, x + 0.3, jnp.full(4, 0.5), batch["label"])
    np.testing.assert_allclose(jnp.exp(log_prob).sum(axis=-1), 1, rtol=1e-5)
    certain = level_log_prob(variables.params, x, jnp.full(4, 0.002), batch["label"])
    np.testing.assert_array_equal(certain.argmax(axis=-1), batch["image"])


def test_labels_are_hidden_row_by_row_in_the_share_asked_for():
    task, row = sized(condition_dropout=0.2), jnp.arange(5000)
    hidden = task.hidden(KEY, row)
    assert abs(float(hidden.mean()) - 0.2) < 4 * np.sqrt(0.16 / 5000)
    np.testing.assert_array_equal(task.hidden(KEY, row[7:20]), hidden[7:20])
    assert not np.any(sized(condition_dropout=0.0).hidden(KEY, row))
    used = []  # the row of the class table that stands for "of any class" learns only where labels are hidden
    for share in (0.0, 0.9):
        task = sized(condition_dropout=share)
        variables = shaken(task)
        loss = lambda p, task=task, v=variables: task.loss(v.replace(params=p), batch_of(8), KEY)[0].total  # noqa: E731
        used.append(bool(jnp.any(jax.jit(jax.grad(loss))(variables.params)["class"]["embedding"][10] != 0)))
    assert used == [False, True]


def test_guidance_one_is_the_class_alone_and_zero_is_any_class():
    batch = batch_of(6)
    variables = shaken(sized())
    x, σ, label = to_unit(batch["image"], 17) + 0.1, jnp.full(6, 0.7), batch["label"]

    def guided(w, label):
        return jax.jit(lambda label: sized(guidance=w).guided(variables.params, label)(x, σ))(label)

    own, none = guided(1.0, label), guided(1.0, jnp.full_like(label, 10))
    np.testing.assert_array_equal(own, jax.jit(lambda: sized().denoiser(variables.params, x, σ, label))())
    np.testing.assert_allclose(guided(0.0, label), none, atol=1e-6)
    np.testing.assert_allclose(guided(3.0, label), none + 3 * (own - none), atol=1e-6)
    assert np.any(np.abs(own - none) > 1e-3)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("head", Prediction)
def test_score_gives_the_log_probabilities_of_the_rollout(head, guidance):
    task, batch = sized(head, guidance=guidance, actions=14), batch_of(6)
    variables = shaken(task)
    given = {"row": batch["row"], "label": batch["label"]}
    trajectory = jax.jit(task.rollout)(variables, given, KEY)
    assert trajectory.log_prob.shape == (6, 14) and trajectory.actions.shape == (6, 15, 8, 8, 1)
    assert trajectory.example["image"].dtype == jnp.uint8
    scored = jax.jit(task.score)(variables, trajectory)
    scale = np.abs(trajectory.log_prob).mean()
    np.testing.assert_allclose(scored, trajectory.log_prob, rtol=1e-5, atol=1e-5 * scale)
    shift = jax.tree.map(lambda leaf: leaf + 0.01, variables.params)
    moved = jax.jit(task.score)(variables.replace(params=shift), trajectory)
    assert np.mean(np.asarray(moved != scored)) > 0.9


def test_an_episode_without_a_label_is_of_any_class():
    task = sized()
    variables, row = shaken(task), jnp.arange(5)
    rollout, score = jax.jit(task.rollout), jax.jit(task.score)
    free = rollout(variables, {"row": row}, KEY)
    asked = rollout(variables, {"row": row, "label": jnp.full(5, 10)}, KEY)
    np.testing.assert_array_equal(free.actions, asked.actions)
    np.testing.assert_array_equal(score(variables, free), score(variables, asked))
    other = rollout(variables, {"row": row, "label": jnp.full(5, 4)}, KEY)
    assert np.any(free.actions != other.actions)


def test_samples_and_episodes_follow_key_label_and_row_alone():
    task = sized()
    variables, label = shaken(task), jnp.arange(9) % 3
    sample = jax.jit(lambda label, key: task.sample(variables, len(label), {"label": label}, key)["image"])
    pictures = sample(label, KEY)
    np.testing.assert_array_equal(pictures, sample(label, KEY))
    assert np.mean(np.asarray(pictures[:5]) == sample(label[:5], KEY)) > 0.99  # to the level, but for rounding's ties
    assert np.any(pictures != sample(label, jax.random.key(6)))
    assert np.any(pictures != sample((label + 1) % 3, KEY))
    rollout = jax.jit(task.rollout)
    whole = rollout(variables, {"row": jnp.arange(9), "label": label}, KEY)
    part = rollout(variables, {"row": jnp.arange(3, 7), "label": label[3:7]}, KEY)
    np.testing.assert_allclose(part.actions, whole.actions[3:7], atol=1e-4)


def test_the_likelihood_of_a_row_knows_no_other_row():
    task, batch = sized(), batch_of(8)
    variables = shaken(task)
    log_prob = jax.jit(lambda batch: task.log_prob(variables, batch, KEY))
    whole, part = log_prob(batch), log_prob({name: array[2:5] for name, array in batch.items()})
    np.testing.assert_allclose(part, whole[2:5], rtol=1e-5)
    sums, _ = jax.jit(task.evaluate)(variables, batch | {"weight": jnp.ones(8)}, KEY)
    np.testing.assert_allclose(task.finish(sums)["bits_per_dim"], -whole.mean() / 64 / np.log(2), rtol=1e-5)


def test_without_labels_given_every_class_is_drawn_alike():
    drawn = jax.jit(lambda: sized().sample(sized().init(KEY), 40, {}, KEY))()
    np.testing.assert_array_equal(np.bincount(drawn["label"]), np.full(10, 4))
    assert drawn["image"].dtype == jnp.uint8 and int(drawn["image"].max()) <= 16


@pytest.mark.parametrize("image", [(8, 8, 1), (6, 4, 3)])
@pytest.mark.parametrize("classes", [0, 3])
def test_sizes_come_from_the_data(image, classes):
    task = SMALL.sized(Spec(image=image, levels=256, classes=classes))
    variables, batch = jax.eval_shape(task.init, KEY), task.spec.batch(2)
    mean, _ = jax.eval_shape(task.loss, variables, batch, KEY)
    drawn = jax.eval_shape(lambda v: task.sample(v, 2, {}, KEY), variables)
    episode = jax.eval_shape(lambda v: task.rollout(v, {"row": jnp.arange(2)}, KEY), variables)
    assert mean.total.shape == () and drawn["image"].shape == episode.example["image"].shape == (2, *image)
    assert ("label" in drawn) == (classes > 0) == any("class" in path for path in paths(variables.params))
    assert jax.eval_shape(task.log_prob, variables, batch, KEY).shape == (2,)


def test_patches_go_there_and_back():
    network = DiffusionTransformer(patch=2, image=(4, 6, 3), outputs=1, parent=None)
    x = jax.random.normal(KEY, (2, 4, 6, 3))
    tokens = network._patches(x)
    assert tokens.shape == (2, 6, 12)
    np.testing.assert_array_equal(tokens[:, 4], x[:, 2:4, 2:4].reshape(2, 12))
    np.testing.assert_array_equal(network._pixels(tokens)[..., 0], x)


def test_data_and_fields_that_do_not_suit_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="pictures"):
        SMALL.sized(Spec(length=16, vocabulary=30))
    with pytest.raises(UserError, match=r"network.patch is 2.*9x8"):
        SMALL.sized(Spec(image=(9, 8, 1), levels=17))
    with pytest.raises(UserError, match=r"network.heads is 3"):
        replace(SMALL, network=SMALL.network.clone(heads=3)).sized(DIGITS)
    wrong = {"sigma_min": 30.0, "condition_dropout": 1.0, "guidance": -1.0, "last_noise": 0.0, "actions": 1, "steps": 0}
    for field, value in wrong.items():
        with pytest.raises(UserError, match=field):
            replace(SMALL, **{field: value})


def test_it_learns_the_digits():
    """A few hundred steps: a better bound than any independent model of the pixels, and samples near their class."""
    train, test = digits()["train"], digits()["test"]
    images, labels = jnp.asarray(train["image"]), jnp.asarray(train["label"])
    network = DiffusionTransformer(width=32, blocks=1, heads=2, expansion=2)
    task = Diffusion(network, Prediction.LEVELS, bound_draws=4, steps=8).sized(DIGITS)
    shapes = jax.eval_shape(task.init, KEY).params
    game = make_game(task, shapes, {"denoising": AdamW(learning_rate=4e-3, b2=0.99)}, {}, 300, 64)

    def draw(source, variables, number):
        row = jnp.arange(64)
        index = (number * 64 + row) % len(labels)
        return {"image": images[index], "label": labels[index], "row": row}, source

    first = init_state(game, KEY)
    advance = jax.jit(lambda s: jax.lax.fori_loop(0, 300, lambda _, s: take_step(game, s, draw, lambda t: t)[0], s))
    last = advance(first)
    held_out = {name: jnp.asarray(array)[:128] for name, array in test.items()}
    held_out |= {"row": jnp.arange(128), "weight": jnp.ones(128)}
    evaluate = jax.jit(task.evaluate)
    bits = [task.finish(evaluate(s.variables, held_out, KEY)[0])["bits_per_dim"] for s in (first, last)]
    assert bits[0] > 3 and bits[1] < 2.43
    image = jax.jit(lambda v: task.sample(v, 100, {}, KEY)["image"])(last.variables).astype(jnp.float32)
    means = np.stack([train["image"][train["label"] == digit].mean(axis=0) for digit in range(10)])
    nearest = np.abs(np.asarray(image)[:, None] - means).mean(axis=(2, 3, 4)).argmin(axis=1)
    assert (nearest == np.arange(100) % 10).mean() > 0.4  # chance: 0.1
