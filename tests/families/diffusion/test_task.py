"""Diffusion as a task: contracts, conditioning, randomness by row, episodes and their densities, sizes, learning."""
# SPDX-License-Identifier: Apache-2.0

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.masks import paths
from jaxgen.core.part import Part
from jaxgen.core.task import Critic, Likelihood, Policy, Task
from jaxgen.data.builtin import digits
from jaxgen.errors import UserError
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import DDIM, Ancestral, Churn, DPMSolver2M, Euler, Heun
from jaxgen.families.diffusion.process import FlowMatching, Prediction, VarianceExploding, VariancePreserving
from jaxgen.families.diffusion.samplers import ancestral_log_prob, follow, heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogitNormal, MinSNR, PredictionWeight, UniformTime
from jaxgen.nn.conditions import condition_of
from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal
from jaxgen.training.optimisers import AdamW
from jaxgen.training.step import init_state, make_game, take_step
from jaxgen.types import Spec, Tokens
from tests.given import asked, cut, labels_of, pictures, seen, values_of

KEY = jax.random.key(5)
DIGITS = pictures((8, 8, 1), levels=17, classes=10)
SMALL = Diffusion(
    DiffusionTransformer(width=16, blocks=1, heads=2, expansion=2), sampler=Heun(steps=4), actions=5, bound_draws=3
)


def sized(prediction: Prediction = Prediction.LEVELS, **fields) -> Diffusion:
    return replace(SMALL, prediction=prediction, **fields).sized(DIGITS)


def shaken(task: Diffusion, seed: int = 0):
    """Variables whose gates and outputs do something: they start at zero."""
    variables = jax.jit(task.init)(jax.random.key(seed))
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return variables.replace(params=jax.tree.unflatten(tree, moved))


def batch_of(count: int):
    return jax.tree.map(jnp.asarray, cut(digits()["train"], slice(count))) | {"row": jnp.arange(count)}


def test_it_keeps_the_contracts_it_can_and_no_other():
    task = sized()
    assert isinstance(task, Task) and isinstance(task, Likelihood) and isinstance(task, Policy)
    assert not isinstance(task, Critic) and "bound" in task.bound


@pytest.mark.parametrize("prediction", [Prediction.PICTURE, Prediction.LEVELS])
def test_every_leaf_moves_and_masks_can_name_it(prediction):
    task, batch = sized(prediction), batch_of(16)
    variables = shaken(task)
    gradient = jax.jit(jax.grad(lambda p: task.loss(variables.replace(params=p), batch, KEY)[0].total))(
        variables.params
    )
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))
    names = set(path.split("/")[0] for path in paths(variables.params))
    assert names == {"noise_in", "noise_out", "condition", "from_patch", "position", "block_0", "final"}


@pytest.mark.parametrize("prediction", [Prediction.PICTURE, Prediction.LEVELS])
def test_the_loss_of_a_batch_is_the_sum_over_its_rows(prediction):
    task, batch = sized(prediction), batch_of(8) | {"weight": jnp.array([1.0, 0, 2, 1, 0, 1, 3, 1])}
    task = replace(task, network=task.network.clone(dropout=0.3))
    variables = shaken(task)
    loss = jax.jit(lambda batch: task.loss(variables, batch, KEY)[0])
    whole, parts = loss(batch), [loss(cut(batch, rows)) for rows in (slice(0, 3), slice(3, 8))]
    np.testing.assert_allclose(whole.total, parts[0].total + parts[1].total, rtol=1e-5)
    assert float(whole.weight) == 9
    del batch["weight"]
    assert float(loss(batch).weight) == 8


def test_an_untrained_network_leaves_what_the_noise_alone_tells():
    x, σ, condition = jnp.array([0.3, -0.9, 0.0, 1.0]).reshape(1, 2, 2, 1), jnp.array([0.4]), seen([3], 10)
    task = replace(SMALL, sigma_data=0.8).sized(pictures((2, 2, 1), levels=17, classes=10))
    found = jax.jit(task.denoiser)(jax.jit(task.init)(KEY).params, x, σ, condition)
    np.testing.assert_allclose(found, x * 0.8**2 / (0.8**2 + 0.4**2), rtol=1e-5)
    task = replace(SMALL, prediction=Prediction.LEVELS).sized(task.spec)
    levels = np.linspace(-1, 1, 17)
    weights = np.exp(-((np.asarray(x)[..., None] - levels) ** 2) / (2 * 0.4**2))
    found = jax.jit(task.denoiser)(jax.jit(task.init)(KEY).params, x, σ, condition)
    np.testing.assert_allclose(found, (weights * levels).sum(-1) / weights.sum(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prediction", [Prediction.PICTURE, Prediction.LEVELS])
def test_each_pixels_levels_sum_to_one_and_without_noise_are_certain(prediction):
    task, batch = sized(prediction), batch_of(4)
    variables, x, condition = shaken(task), to_unit(values_of(batch), 17), condition_of(DIGITS, batch)
    level_log_prob = jax.jit(task.denoiser.level_log_prob)
    log_prob = level_log_prob(variables.params, x + 0.3, jnp.full(4, 0.5), condition)
    np.testing.assert_allclose(jnp.exp(log_prob).sum(axis=-1), 1, rtol=1e-5)
    certain = level_log_prob(variables.params, x, jnp.full(4, 0.002), condition)
    np.testing.assert_array_equal(certain.argmax(axis=-1), values_of(batch))


def test_any_class_is_learned_where_classes_are_hidden_alone():
    used = []  # the row of the table of classes that stands for "of any class"
    for share in (0.0, 0.9):
        task = sized(condition_dropout=share)
        variables = shaken(task)
        loss = lambda p, task=task, v=variables: task.loss(v.replace(params=p), batch_of(8), KEY)[0].total  # noqa: E731
        used.append(bool(jnp.any(jax.jit(jax.grad(loss))(variables.params)["condition"]["kernel"][10] != 0)))
    assert used == [False, True]


def test_guidance_one_is_the_class_alone_and_zero_is_any_class():
    batch = batch_of(6)
    variables = shaken(sized())
    x, σ, condition = to_unit(values_of(batch), 17) + 0.1, jnp.full(6, 0.7), condition_of(DIGITS, batch)

    def guided(w, request):
        task = sized(sampler=Heun(guidance=w))
        return jax.jit(lambda request: task.guided(variables, request)(x, σ))(request)

    own, none = guided(None, batch), guided(None, {"row": batch["row"]})
    np.testing.assert_array_equal(own, jax.jit(lambda: sized().denoiser(variables.params, x, σ, condition))())
    np.testing.assert_allclose(guided(1.0, batch), own, atol=1e-6)
    np.testing.assert_allclose(guided(0.0, batch), none, atol=1e-6)
    np.testing.assert_allclose(guided(3.0, batch), none + 3 * (own - none), atol=1e-6)
    assert np.any(np.abs(own - none) > 1e-3)


def test_guidance_holds_between_its_noise_levels_alone():
    batch, variables = batch_of(5), shaken(sized())
    x, σ = to_unit(values_of(batch), 17), jnp.array([0.4, 0.5, 0.9, 1.0, 3.0])

    def guided(**settings):
        task = sized(sampler=Heun(**settings))
        return jax.jit(lambda: task.guided(variables, batch)(x, σ))()

    between = guided(guidance=3.0, guidance_from=0.5, guidance_to=1.0)
    own, everywhere = guided(), guided(guidance=3.0)
    for place, inside in enumerate([False, True, True, False, False]):
        np.testing.assert_allclose(between[place], (everywhere if inside else own)[place], atol=1e-6)
    assert np.all(np.abs(own - everywhere).max(axis=(1, 2, 3)) > 1e-4)


@pytest.mark.parametrize(
    ("process", "prediction"),
    [(VariancePreserving(), Prediction.NOISE), (FlowMatching(), Prediction.VELOCITY)],
)
def test_the_loss_of_what_is_predicted_is_its_squared_error(process, prediction):
    """An untrained network predicts 0: DDPM's loss is then |ε|², flow matching's |ε - x₀|² (any σ)."""
    fields = {"process": process, "noise": UniformTime(), "weighting": PredictionWeight()}
    task, batch = sized(prediction, **fields), batch_of(32)
    loss = jax.jit(lambda v: task.loss(v, batch, KEY)[0].value)(jax.jit(task.init)(KEY))
    ε = normal(jax.random.split(KEY, 4)[1], batch["row"], (8, 8, 1))
    clean = to_unit(values_of(batch), 17)
    target = ε if prediction is Prediction.NOISE else ε - clean
    np.testing.assert_allclose(loss, jnp.mean(target**2), rtol=2e-3)


@pytest.mark.parametrize("process", [VarianceExploding(), VariancePreserving(), FlowMatching()], ids=str)
def test_any_process_is_trained_under_any_prediction(process):
    for prediction, noise in zip(Prediction, itertools.cycle([UniformTime(), LogitNormal()])):
        task = sized(prediction, process=process, noise=noise, weighting=MinSNR())
        variables = jax.eval_shape(task.init, KEY)
        assert jax.eval_shape(task.loss, variables, batch_of(2), KEY)[0].total.shape == ()


@pytest.mark.parametrize("sampler", [Euler, DDIM, DPMSolver2M, Ancestral, Churn])
def test_any_sampler_draws_and_episodes_are_taken_under_it(sampler):
    task = sized(sampler=sampler(steps=3, guidance=2.0))
    variables, request = jax.eval_shape(task.init, KEY), asked(jnp.arange(2))
    assert values_of(jax.eval_shape(task.sample, variables, request, KEY)).shape == (2, 8, 8, 1)
    assert jax.eval_shape(task.rollout, variables, request, KEY).log_prob.shape == (2, 5)


@pytest.mark.parametrize("guidance", [None, 2.0])
@pytest.mark.parametrize("prediction", [Prediction.PICTURE, Prediction.LEVELS])
def test_score_gives_the_log_probabilities_of_the_rollout(prediction, guidance):
    task, batch = sized(prediction, sampler=Heun(guidance=guidance), actions=14), batch_of(6)
    variables = shaken(task)
    trajectory = jax.jit(task.rollout)(variables, asked(labels_of(batch)), KEY)
    assert trajectory.log_prob.shape == (6, 14) and trajectory.actions.shape == (6, 15, 8, 8, 1)
    assert values_of(trajectory.example).dtype == jnp.uint8
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
    unclassed = lambda x, σ: task.denoiser(variables.params, x, σ, seen(jnp.full(5, 10), 10))  # noqa: E731
    levels = schedule(task.actions, task.sigma_min, task.sigma_max)
    expected = jax.jit(lambda states: ancestral_log_prob(unclassed, states, levels, task.last_noise))(free.actions)
    np.testing.assert_allclose(score(variables, free), expected, rtol=1e-5)
    assert free.example["given"] == {}
    other = rollout(variables, asked(jnp.full(5, 4)), KEY)
    assert np.any(free.actions != other.actions)


def test_samples_and_episodes_follow_key_label_and_row_alone():
    task = sized()
    variables, label = shaken(task), jnp.arange(9) % 3
    sample = jax.jit(lambda label, key: values_of(task.sample(variables, asked(label), key)))
    drawn = sample(label, KEY)
    np.testing.assert_array_equal(drawn, sample(label, KEY))
    assert np.mean(np.asarray(drawn[:5]) == sample(label[:5], KEY)) > 0.99  # to the level, but for rounding's ties
    assert np.any(drawn != sample(label, jax.random.key(6)))
    assert np.any(drawn != sample((label + 1) % 3, KEY))
    rollout = jax.jit(task.rollout)
    whole = rollout(variables, asked(label), KEY)
    part = rollout(variables, asked(label[3:7], jnp.arange(3, 7)), KEY)
    np.testing.assert_allclose(part.actions, whole.actions[3:7], atol=1e-4)


def test_the_likelihood_of_a_row_knows_no_other_row():
    task, batch = sized(), batch_of(8)
    variables = shaken(task)
    log_prob = jax.jit(lambda batch: task.log_prob(variables, batch, KEY))
    whole, part = log_prob(batch), log_prob(cut(batch, slice(2, 5)))
    np.testing.assert_allclose(part, whole[2:5], rtol=1e-5)
    sums, _ = jax.jit(task.evaluate)(variables, batch | {"weight": jnp.ones(8)}, KEY)
    np.testing.assert_allclose(task.finish(sums)["bits_per_dim"], -whole.mean() / 64 / np.log(2), rtol=1e-5)


def test_a_sample_without_a_label_is_of_any_class():
    task, row = sized(), jnp.arange(6)
    variables = shaken(task)
    drawn = jax.jit(task.sample)(variables, {"row": row}, KEY)
    unclassed = lambda x, σ: task.denoiser(variables.params, x, σ, seen(jnp.full(6, 10), 10))  # noqa: E731
    start = task.sigma_max * normal(KEY, row, (8, 8, 1))
    table = heun(schedule(4, task.sigma_min, task.sigma_max))
    expected = jax.jit(lambda x: follow(unclassed, x, table, KEY, row))(start)
    assert drawn["given"] == {} and values_of(drawn).dtype == jnp.uint8 and int(values_of(drawn).max()) <= 16
    assert np.mean(np.asarray(values_of(drawn) == to_levels(expected, 17))) > 0.99


@pytest.mark.parametrize("image", [(8, 8, 1), (6, 4, 3)])
@pytest.mark.parametrize("classes", [0, 3])
def test_sizes_come_from_the_data(image, classes):
    task = SMALL.sized(pictures(image, levels=256, classes=classes))
    variables, batch = jax.eval_shape(task.init, KEY), task.spec.batch(2)
    mean, _ = jax.eval_shape(task.loss, variables, batch, KEY)
    request = asked(jnp.arange(2)) if classes else {"row": jnp.arange(2)}
    drawn = jax.eval_shape(task.sample, variables, request, KEY)
    episode = jax.eval_shape(task.rollout, variables, {"row": jnp.arange(2)}, KEY)
    assert mean.total.shape == () and values_of(drawn).shape == values_of(episode.example).shape == (2, *image)
    assert bool(drawn["given"]) == (classes > 0) == any("condition" in path for path in paths(variables.params))
    assert jax.eval_shape(task.log_prob, variables, batch, KEY).shape == (2,)


def test_data_and_fields_that_do_not_suit_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="pictures"):
        SMALL.sized(Spec(Tokens(16, 30)))
    with pytest.raises(UserError, match=r"network.patch is 2.*9x8"):
        SMALL.sized(pictures((9, 8, 1), levels=17))
    with pytest.raises(UserError, match=r"network.heads is 3"):
        replace(SMALL, network=SMALL.network.clone(heads=3)).sized(DIGITS)
    wrong = {"sigma_min": 30.0, "condition_dropout": 1.0, "last_noise": 0.0, "actions": 1, "bound_draws": 0}
    for field, value in wrong.items():
        with pytest.raises(UserError, match=field):
            replace(SMALL, **{field: value})
    with pytest.raises(UserError, match=r"PredictionWeight.*LEVELS"):
        replace(SMALL, prediction=Prediction.LEVELS, weighting=PredictionWeight())


def test_guidance_by_a_weaker_model_leads_away_from_it():
    """D = D_weak + w (D - D_weak) (arXiv 2406.02507); the weaker one may be given less."""
    batch = batch_of(6)
    small = SMALL.network.clone(width=8)
    weak = replace(SMALL, network=small, prediction=Prediction.X0, sampler=Heun()).sized(DIGITS)
    part = Part("weaker", "task.sampler.weaker.path=runs/weak", weak, DIGITS)
    task = sized(condition_dropout=0.0, sampler=Heun(guidance=2.5, weaker=part))
    variables, other = shaken(task), shaken(weak, 3)
    x, σ, condition = to_unit(values_of(batch), 17) + 0.1, jnp.full(6, 0.7), condition_of(DIGITS, batch)
    both = variables.replace(parts={"weaker": other})
    found = jax.jit(lambda: task.guided(both, batch)(x, σ))()
    ours, theirs = (
        jax.jit(lambda t=t, v=v: t.denoiser(v.params, x, σ, condition))() for t, v in ((task, variables), (weak, other))
    )
    np.testing.assert_allclose(found, theirs + 2.5 * (ours - theirs), atol=1e-5)
    elsewhere = replace(part, spec=pictures((8, 8, 1), levels=256, classes=10))
    with pytest.raises(UserError, match=r"runs/weak is a Diffusion of .*same data"):
        sized(sampler=Heun(guidance=2.0, weaker=elsewhere))
    with pytest.raises(UserError, match=r"sampler.weaker .*set guidance"):
        Heun(weaker=part)


def test_what_is_known_of_a_picture_is_kept_and_the_states_end_in_the_sample():
    task, batch = sized(sampler=Heun(steps=4)), batch_of(5)
    variables, value = shaken(task), values_of(batch)
    known = jnp.zeros((5, 8, 8), bool).at[:, :, :4].set(True)
    request = asked(labels_of(batch)) | {"made": {"value": value, "known": known}}
    made = values_of(jax.jit(task.sample)(variables, request, KEY))
    np.testing.assert_array_equal(made[:, :, :4], value[:, :, :4])
    assert np.any(made[:, :, 4:] != value[:, :, 4:])
    less = sized(sampler=Heun(steps=4, start_noise=0.5))  # what is filled in begins as noise all the same
    np.testing.assert_array_equal(values_of(jax.jit(less.sample)(variables, request, KEY)), made)
    states = values_of(jax.jit(task.states)(variables, request, KEY))
    assert states.shape == (5, 8, 8, 8, 1)  # 2 * 4 - 1 evaluations, and the sample
    assert np.mean(np.asarray(states[:, -1] == made)) > 0.99


def test_a_picture_is_changed_the_less_the_less_noise_it_gets():
    batch, distances = batch_of(8), []
    for noise in (0.05, 5.0):
        task = sized(sampler=Heun(steps=4, start_noise=noise))
        request = asked(labels_of(batch)) | {"made": {"value": values_of(batch)}}
        made = values_of(jax.jit(task.sample)(shaken(task), request, KEY))
        distances.append(np.abs(np.float32(made) - values_of(batch)).mean())
    assert distances[0] < 0.5 < 2 < distances[1]
    with pytest.raises(UserError, match=r"set task\.sampler\.start_noise"):
        jax.eval_shape(sized().sample, jax.eval_shape(sized().init, KEY), request, KEY)
    unasked = {"row": request["row"], "made": request["made"]}
    with pytest.raises(UserError, match="never trained to draw without class; give one or more with --given"):
        jax.eval_shape(replace(task, condition_dropout=0.0).sample, jax.eval_shape(task.init, KEY), unasked, KEY)


def test_guidance_is_refused_where_any_class_was_never_trained():
    guided = replace(SMALL, sampler=Heun(guidance=1.5))
    for task, spec in ((replace(guided, condition_dropout=0.0), DIGITS), (guided, pictures((8, 8, 1), 17))):
        with pytest.raises(UserError, match=r"task.sampler.guidance is 1.5.*condition_dropout above 0"):
            task.sized(spec)
    guided.sized(DIGITS)
    replace(SMALL, condition_dropout=0.0).sized(DIGITS)


def test_it_learns_the_digits():
    """A few hundred steps: a better bound than any independent model of the pixels, and samples near their class."""
    train, test = digits()["train"], digits()["test"]
    network = DiffusionTransformer(width=32, blocks=1, heads=2, expansion=2)
    task = Diffusion(network, Prediction.LEVELS, bound_draws=4, sampler=Heun(steps=8)).sized(DIGITS)
    shapes = jax.eval_shape(task.init, KEY).params
    game = make_game(task, shapes, {"denoising": AdamW(learning_rate=4e-3, b2=0.99)}, {}, 300, 64)

    def draw(source, variables, number):
        row = jnp.arange(64)
        return cut(jax.tree.map(jnp.asarray, train), (number * 64 + row) % len(labels_of(train))) | {"row": row}, source

    first = init_state(game, KEY)
    advance = jax.jit(lambda s: jax.lax.fori_loop(0, 300, lambda _, s: take_step(game, s, draw, lambda t: t)[0], s))
    last = advance(first)
    held_out = cut(test, slice(128)) | {"row": jnp.arange(128), "weight": jnp.ones(128)}
    evaluate = jax.jit(task.evaluate)
    bits = [task.finish(evaluate(s.variables, held_out, KEY)[0])["bits_per_dim"] for s in (first, last)]
    assert bits[0] > 3 and bits[1] < 2.43
    request = asked(jnp.arange(100) % 10)
    image = values_of(jax.jit(task.sample)(last.variables, request, KEY)).astype(jnp.float32)
    means = np.stack([values_of(train)[labels_of(train) == digit].mean(axis=0) for digit in range(10)])
    nearest = np.abs(np.asarray(image)[:, None] - means).mean(axis=(2, 3, 4)).argmin(axis=1)
    assert (nearest == np.arange(100) % 10).mean() > 0.4  # chance: 0.1
