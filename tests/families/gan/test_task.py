"""The GAN as a task: turns, conditioning, randomness by row, sizes, and that it learns."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxgen.core.masks import Everything, Matching, paths, split
from jaxgen.core.task import Critic, Likelihood, Prompted, Task
from jaxgen.data.builtin import digits
from jaxgen.errors import UserError
from jaxgen.families.gan.adversarial import Loss, Penalty
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan, LatentSampler
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.training.optimisers import AdamW
from jaxgen.training.step import init_state, make_game, take_step
from jaxgen.types import Framing, Image, Spec, Tokens, Unit
from tests.given import asked, cut, labels_of, pictures, values_of

KEY = jax.random.key(5)
DIGITS = pictures((8, 8, 1), levels=17, classes=10)
SMALL = Gan(Generator(width=16, blocks=1, latent=4), Discriminator(width=16, blocks=1, features=8))
CONVOLVING = Gan(
    Generator(width=16, blocks=1, channels=(8, 4), stage_blocks=1, latent=4),
    Discriminator(width=16, blocks=1, channels=(8, 4), stage_blocks=1, features=8),
)


def shaken(task: Gan, seed: int = 0):
    """Variables whose residual branches do something: they start at zero."""
    variables = jax.jit(task.init)(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return variables.replace(params=jax.tree.unflatten(tree, moved))


def batch_of(count: int, start: int = 0):
    rows = jnp.arange(start, start + count)
    return jax.tree.map(jnp.asarray, cut(digits()["train"], slice(start, start + count))) | {"row": rows}


def test_it_keeps_the_contracts_it_can_and_no_other():
    task = SMALL.sized(DIGITS)
    assert isinstance(task, Task) and isinstance(task, Critic) and not isinstance(task, Likelihood)


@pytest.mark.parametrize(
    ("loss", "penalty"),
    [
        *((loss, Penalty.REAL_AND_FAKE) for loss in (Loss.RELATIVISTIC, Loss.HINGE)),
        (Loss.NON_SATURATING, Penalty.REAL),
        (Loss.WASSERSTEIN, Penalty.INTERPOLATES),
    ],
)
def test_each_turn_moves_its_own_leaves_alone(loss, penalty):
    task = replace(SMALL, loss=loss, penalty=penalty).sized(DIGITS)
    variables, batch, owned = shaken(task), batch_of(8), []

    def total(turn, params):
        return turn.loss(variables.replace(params=params), batch, KEY)[0].total

    for turn in task.turns():
        gradient = jax.jit(jax.grad(lambda params, turn=turn: total(turn, params)))(variables.params)
        moving, _ = split(gradient, turn.trainable(variables.params))
        assert all(path.startswith(turn.name + "/") for path in paths(moving))
        assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(moving))
        owned += paths(moving)
    assert sorted(owned) == sorted(paths(variables.params))


def test_the_discriminators_loss_is_its_nats_and_half_gamma_times_both_penalties():
    task = SMALL.sized(DIGITS)
    variables, batch = shaken(task), batch_of(8)
    free, aux = jax.jit(replace(task, gamma=0.0).discriminator_loss)(variables, batch, KEY)
    full, _ = jax.jit(replace(task, gamma=3.0).discriminator_loss)(variables, batch, KEY)
    penalties = aux.metrics["r1"].value + aux.metrics["r2"].value
    np.testing.assert_allclose(full.value, free.value + 1.5 * penalties, rtol=1e-5)


def test_a_cut_batch_gives_the_whole_batchs_sums():
    """Row numbers carry the randomness: rows 0-3 and rows 4-7 apart sum to rows 0-7, a row of weight 0 to nothing."""
    task = CONVOLVING.sized(DIGITS)
    variables = shaken(task)
    losses = jax.jit(lambda part: [turn.loss(variables, part, KEY) for turn in task.turns()])
    batch = batch_of(8) | {"weight": jnp.array([1.0, 1, 0, 1, 2, 1, 0, 1])}
    parts = [cut(batch, rows) for rows in (slice(0, 4), slice(4, 8))]
    whole, first, second = (losses(part) for part in (batch, *parts))
    summed = jax.tree.map(jnp.add, first, second)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(summed), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_samples_follow_key_label_and_row_alone():
    task = SMALL.sized(DIGITS)
    variables, label = shaken(task), jnp.arange(12) % 3
    sample = jax.jit(lambda label, key: values_of(task.sample(variables, asked(label), key)))
    drawn = sample(label, KEY)
    np.testing.assert_array_equal(drawn, sample(label, KEY))
    np.testing.assert_array_equal(drawn[:5], sample(label[:5], KEY))
    assert np.any(drawn != sample(label, jax.random.key(6)))
    assert np.any(drawn != sample((label + 1) % 3, KEY))
    rows = asked(label[4:8], jnp.arange(4, 8))
    whole = task.generate(variables.params, asked(label), KEY)
    np.testing.assert_allclose(task.generate(variables.params, rows, KEY), whole[4:8], atol=1e-5)


def test_without_labels_given_every_class_is_drawn_alike():
    task = SMALL.sized(DIGITS)
    drawn = jax.jit(task.sample)(task.init(KEY), {"row": jnp.arange(1000)}, KEY)
    counts = np.bincount(labels_of(drawn), minlength=10)
    assert ((counts - 100) ** 2 / 100).sum() < chi2.isf(1e-4, 9)
    assert values_of(drawn).dtype == jnp.uint8 and int(values_of(drawn).max()) <= 16


@pytest.mark.parametrize(
    ("image", "patch", "classes"),
    [((8, 8, 1), 1, 0), ((28, 28, 1), 2, 3), ((32, 32, 3), 1, 3), ((64, 64, 3), 4, 0), ((8, 12, 2), 2, 3)],
)
def test_sizes_come_from_the_data(image, patch, classes):
    players = CONVOLVING.generator.clone(patch=patch), CONVOLVING.discriminator.clone(patch=patch)
    task = replace(CONVOLVING, generator=players[0], discriminator=players[1])
    task = task.sized(pictures(image, levels=256, classes=classes))
    variables = jax.eval_shape(task.init, KEY)
    batch = task.spec.batch(2)
    mean, _ = jax.eval_shape(task.discriminator_loss, variables, batch, KEY)
    drawn = jax.eval_shape(task.sample, variables, {"row": jnp.arange(2)}, KEY)
    assert mean.total.shape == () and values_of(drawn).shape == (2, *image)
    assert bool(drawn["given"]) == (classes > 0) == any("condition" in path for path in paths(variables.params))


def test_data_that_do_not_suit_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="9x8 cannot be halved once; leave"):
        CONVOLVING.sized(pictures((9, 8, 1), levels=17))
    with pytest.raises(UserError, match="patch is 3, which does not divide a picture of 8x8"):
        replace(SMALL, generator=Generator(patch=3)).sized(DIGITS)
    with pytest.raises(UserError, match="no"):
        SMALL.sized(Spec(Tokens(16, 30)))
    for gamma in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="gamma"):
            Gan(gamma=gamma)
    with pytest.raises(UserError, match="critic_turns"):
        Gan(critic_turns=0)
    for truncation in (-1.0, math.nan, math.inf):
        with pytest.raises(UserError, match=r"sampler\.truncation"):
            LatentSampler(truncation=truncation)


def test_parameters_are_a_function_of_the_key():
    task = SMALL.sized(DIGITS)
    one, again, other = (task.init(jax.random.key(seed)).params for seed in (3, 3, 4))
    assert all(bool(jnp.all(a == b)) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True))
    assert any(bool(jnp.any(a != b)) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_the_zero_branches_make_the_first_network_linear_in_its_blocks():
    """A block adds nothing at first: any number of them gives the same output from the same other parameters."""
    deep = replace(SMALL, generator=SMALL.generator.clone(blocks=4)).sized(DIGITS)
    shallow = SMALL.sized(DIGITS)
    params, batch = deep.init(KEY).params, batch_of(4)
    np.testing.assert_array_equal(deep.generate(params, batch, KEY), shallow.generate(params, batch, KEY))


def test_both_players_read_a_prompt_and_none_of_what_pads_it():
    spec = Spec(Image(8, 8, 3, 256), (("prompt", Tokens(3, 7, Unit.WORD, Framing.SOURCE)),))
    text = TextEncoder(width=8, blocks=1, heads=2)
    task = Gan(SMALL.generator.clone(text=text), SMALL.discriminator.clone(text=text)).sized(spec)
    assert isinstance(task, Prompted) and task.needs_given and not SMALL.sized(DIGITS).needs_given
    variables, row = shaken(task), jnp.arange(4)
    mask = jnp.arange(3) < jnp.array([3, 2, 1, 3])[:, None]
    words = jnp.array([[1, 2, 3], [4, 5, 0], [6, 0, 0], [3, 2, 1]])
    real = jax.random.uniform(KEY, (4, 8, 8, 3), minval=-1.0)

    @jax.jit
    def seen(words):
        batch = {"row": row, "given": {"prompt": {"value": words, "mask": mask}}}
        drawn = task.generate(variables.params, batch, KEY)
        return drawn.reshape(4, -1), task.judge(variables.params, real, batch)[:, None]

    for own, padded, turned in zip(*map(seen, (words, jnp.where(mask, words, 5), words[::-1])), strict=True):
        np.testing.assert_allclose(padded, own, atol=1e-5)
        assert (np.abs(turned - own).max(axis=1) > 1e-5).all()  # rows 0 and 3 by the order of words alone
    with pytest.raises(UserError, match="without prompt; give one"):
        task.sample(variables, {"row": row}, KEY)


def test_what_outputs_are_compared_with_is_the_mean_over_samples_for_the_same_given():
    task = SMALL.sized(DIGITS)
    variables, batch = shaken(task), batch_of(8)
    outputs = jax.jit(lambda key: task.outputs(variables, {**batch, **task.sample(variables, batch, key)}))
    drawn = [outputs(jax.random.fold_in(KEY, number)) for number in range(16)]
    fresh = jax.jit(task.fresh_outputs)(variables, batch, KEY)
    np.testing.assert_allclose(fresh, np.mean(drawn, axis=0), atol=1e-4)


def trained(task: Gan, steps: int, trainable=Everything()):
    """The states before and after `steps` steps on batches of 64 digits."""
    train = jax.tree.map(jnp.asarray, digits()["train"])
    adam = AdamW(learning_rate=1e-3, b1=0.0, b2=0.99)
    optimisers = {turn.name: adam for turn in task.turns()}
    game = make_game(task, jax.eval_shape(task.init, KEY).params, optimisers, {}, steps, 64, trainable)

    def draw(source, variables, number):
        row = jnp.arange(64)
        return cut(train, (number * 64 + row) % len(labels_of(train))) | {"row": row}, source

    first = init_state(game, KEY)
    advance = jax.jit(lambda s: jax.lax.fori_loop(0, steps, lambda _, s: take_step(game, s, draw, lambda t: t)[0], s))
    return first, advance(first)


def test_a_step_has_so_many_turns_of_the_discriminator_each_with_reals_of_its_own():
    task = replace(SMALL, critic_turns=2).sized(DIGITS)
    params = jax.eval_shape(task.init, KEY).params
    adam = {turn.name: AdamW(learning_rate=1e-3) for turn in task.turns()}
    game = make_game(task, params, adam, {}, 10, 8)

    def draw(source, variables, number):
        return batch_of(8), source.at[number].add(1)

    begun = init_state(game, KEY, lambda moving: jnp.zeros(6, jnp.int32))
    step = jax.jit(lambda state: take_step(game, state, draw, lambda tree: tree))
    state, metrics = step(step(begun)[0])
    np.testing.assert_array_equal(state.source, np.ones(6))  # no batch is seen twice
    for name, count in (("discriminator", 4), ("generator", 2)):
        assert {int(leaf) for leaf in jax.tree.leaves(state.opt_state[name]) if leaf.dtype == jnp.int32} == {count}
    assert float(metrics["discriminator/loss"].weight) == 16 and float(metrics["generator/loss"].weight) == 8


def held_out():
    batch = jax.tree.map(jnp.asarray, cut(digits()["test"], slice(200)))
    return batch | {"row": jnp.arange(200), "weight": jnp.ones(200)}


def test_the_generator_learns_its_classes():
    task, batch = Gan().sized(DIGITS), held_out()
    first, last = trained(task, 150)
    train, label = digits()["train"], np.asarray(labels_of(batch))
    means = np.stack([values_of(train)[labels_of(train) == digit].mean(axis=0) for digit in range(10)])

    @jax.jit
    def distances(variables):
        image = values_of(task.sample(variables, asked(label), KEY)).astype(jnp.float32)
        return jnp.abs(image[:, None] - means).mean(axis=(2, 3, 4))  # [200, 10] to each class's mean picture

    nearest = [np.asarray(distances(state.variables)).argmin(axis=1) for state in (first, last)]
    assert (nearest[0] == label).mean() < 0.4 and (nearest[1] == label).mean() > 0.7


def test_a_discriminator_tells_a_generator_that_stands_still():
    """A fine-tuning that moves D alone: its accuracy and p grow certain, and G is the same to the bit."""
    task, batch = SMALL.sized(DIGITS), held_out()
    first, last = trained(task, 150, Matching("^discriminator/"))
    for a, b in zip(*(jax.tree.leaves(state.params["generator"]) for state in (first, last)), strict=True):
        np.testing.assert_array_equal(a, b)
    figures = task.finish(jax.jit(task.evaluate)(last.variables, batch, KEY)[0])
    assert set(figures) == {"discriminator_accuracy", "margin", "p_real", "p_fake"} | {
        f"discriminator_output_{kind}" for kind in ("real", "fake")
    }
    assert figures["discriminator_accuracy"] > 0.95
    assert 1 > figures["p_real"] > 0.8 and 0.2 > figures["p_fake"] > 0
    probability = task.probability(last.variables, batch)
    np.testing.assert_allclose(probability.mean(), figures["p_real"], rtol=1e-5)
    assert bool(jnp.all((probability > 0) & (probability < 1)))
