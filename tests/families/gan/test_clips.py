"""A GAN of clips: motion develops, each critic sees what it is for, and data of another kind are told."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.data.clips import MovingDigits
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.families.gan.adversarial import Penalty
from jaxgen.families.gan.clip_network import ClipDiscriminator, ClipGenerator, motion_codes
from jaxgen.families.gan.diff_augment import DiffAugment
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.nn.precision import Precision
from jaxgen.types import Clip, Label, Spec
from tests.given import asked

KEY, ROW = jax.random.key(5), jnp.arange(6)
FRAMES = 5
CLIPS = Spec(Clip(FRAMES, 8, 8, 1, 17))
_SMALL = {"width": 16, "blocks": 1, "channels": (6, 4), "stage_blocks": 1}
SMALL = Gan(
    ClipGenerator(Generator(latent=4, **_SMALL), motion=3, hidden=8),
    ClipDiscriminator(Discriminator(features=8, **_SMALL), Discriminator(features=8, **_SMALL)),
)


def shaken(task: Gan):
    """Variables whose residual branches do something: they start at zero."""
    variables = jax.jit(task.init)(jax.random.key(0))
    return variables.replace(params=shaken_params(variables.params))


def shaken_params(params):
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


@pytest.fixture(scope="module")
def task():
    return SMALL.sized(CLIPS)


@pytest.fixture(scope="module")
def variables(task):
    return shaken(task)


def test_a_frame_is_the_picture_of_its_motion_code_and_the_clips_content(task, variables):
    """The recurrence written out: code after code, each frame by the network of pictures alone."""
    params, z = variables.params["generator"], jax.random.normal(KEY, (3, task.generator.latent))
    made = task.generator.apply({"params": params}, z, None)
    assert made.shape == (3, FRAMES, 8, 8, 1)
    step, content, code = params["motion_step"], z[:, :4], z[:, 4:]
    for frame in range(FRAMES):
        latent = jnp.concatenate([content, code], axis=1)
        picture = task.generator.frame.apply({"params": params["frame"]}, latent, None)
        np.testing.assert_allclose(made[:, frame], picture, atol=1e-5)
        hidden = code @ step["Dense_0"]["kernel"] + step["Dense_0"]["bias"]
        code = code + jnp.tanh(hidden) @ step["Dense_1"]["kernel"]


def test_the_spatial_critic_knows_no_order_and_the_temporal_one_does(task, variables):
    params, clip = variables.params["discriminator"], jax.random.normal(KEY, (3, FRAMES, 8, 8, 1))
    order = jnp.array([3, 0, 4, 1, 2])
    nets = (task.discriminator.clone(stride=stride) for stride in (1, 4))
    every, fourth = (jax.jit(lambda params, clip, net=net: net.apply({"params": params}, clip, None)) for net in nets)
    spatial_alone = {**params, "temporal": jax.tree.map(jnp.zeros_like, params["temporal"])}
    both, alone = (every(which, clip) for which in (params, spatial_alone))
    np.testing.assert_allclose(every(spatial_alone, clip[:, order]), alone, rtol=1e-4)
    assert np.all(np.abs(every(params, clip[:, order]) - both) > 1e-4)
    seen = fourth(spatial_alone, clip)
    np.testing.assert_array_equal(fourth(spatial_alone, clip.at[:, 1:4].set(0.0)), seen)
    assert np.all(np.abs(fourth(spatial_alone, clip.at[:, 4].set(0.0)) - seen) > 1e-4)


def test_the_spatial_critic_sees_the_pixels_that_the_temporal_one_sees_as_a_mean(task, variables):
    params, clip = variables.params["discriminator"], jax.random.normal(KEY, (3, FRAMES, 8, 8, 1))
    checks = (-1.0) ** (jnp.arange(8)[:, None] + jnp.arange(8))[..., None]  # of mean 0 in each square of 2x2
    judge = jax.jit(lambda params, clip: task.discriminator.apply({"params": params}, clip, None))
    temporal_alone = {**params, "spatial": jax.tree.map(jnp.zeros_like, params["spatial"])}
    np.testing.assert_allclose(judge(temporal_alone, clip + checks), judge(temporal_alone, clip), rtol=1e-4, atol=1e-5)
    assert np.all(np.abs(judge(params, clip + checks) - judge(params, clip)) > 1e-4)


def test_motion_codes_grow_with_the_frames_at_most():
    """Whatever has been learned: a frame adds no more to a code than the last layer's kernel holds."""

    class Codes(nn.Module):
        @nn.compact
        def __call__(self, first):
            return motion_codes(first, 8, 40, Precision.FLOAT32)

    first = 5 * jax.random.normal(KEY, (4, 3))
    params = jax.tree.map(lambda leaf: 50 * leaf, Codes().init(KEY, first)["params"])
    codes = np.asarray(jax.jit(Codes().apply)({"params": params}, first))
    most = np.abs(params["motion_step"]["Dense_1"]["kernel"]).sum(axis=0)
    assert np.all(np.abs(np.diff(codes, axis=1)) <= 1.0001 * most)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_pooled_discriminator_does_not_ask_where_a_thing_is(pooled):
    """One that is moved by places of the coarsest grid, far from the edges, is as real as before."""
    net = Discriminator(**_SMALL, patch=2, pooled=pooled)
    empty, thing = jnp.full((3, 64, 64, 1), -1.0), jax.random.normal(KEY, (3, 6, 6, 1))
    begun, moved = (jax.lax.dynamic_update_slice(empty, thing, (0, row, 29, 0)) for row in (25, 33))
    params = shaken_params(jax.jit(net.init)(jax.random.key(0), empty, None)["params"])
    judge = jax.jit(lambda picture: net.apply({"params": params}, picture, None))
    away = np.abs(judge(moved) - judge(begun)) / np.abs(judge(begun) - judge(empty))
    assert np.all(away < 1e-3) if pooled else np.all(away > 0.01)


def test_one_draw_changes_all_frames_of_a_clip_alike():
    picture = jax.random.uniform(jax.random.key(1), (6, 8, 8, 3), minval=-1.0)
    augment = jax.jit(DiffAugment(probability=0.7))
    still = augment(jnp.repeat(picture[:, None], FRAMES, axis=1), KEY, ROW)
    for frame in range(FRAMES):
        np.testing.assert_allclose(still[:, frame], augment(picture, KEY, ROW), atol=1e-6)
    assert np.any(still[:, 0] != picture)


@pytest.mark.parametrize("penalty", Penalty)
def test_a_penalty_is_of_a_whole_clips_gradient(task, variables, penalty):
    """R1 and R2 are the squared norm over all frames: that of finite differences along the gradient's own direction."""
    batch = {"row": ROW, "given": {}, "made": {"value": jnp.full((6, FRAMES, 8, 8, 1), 9, jnp.uint8)}}
    _, aux = jax.jit(replace(task, penalty=penalty).discriminator_loss)(variables, batch, KEY)
    judge = jax.jit(lambda clip: task.judge(variables.params, clip, batch))
    for name, clip in zip(("r1", "r2"), task._pair(variables.params, batch, KEY), strict=True):
        slope = jax.grad(lambda clip: judge(clip).sum())(clip)
        norms = np.sum(np.asarray(slope) ** 2, axis=(1, 2, 3, 4))
        along = (judge(clip + 1e-2 * slope) - judge(clip - 1e-2 * slope)) / 2e-2
        np.testing.assert_allclose(along, norms, rtol=0.05)
        if name in aux.metrics:
            np.testing.assert_allclose(aux.metrics[name].value, norms.mean(), rtol=1e-3)
    names = {Penalty.REAL: {"r1"}, Penalty.FAKE: {"r2"}, Penalty.REAL_AND_FAKE: {"r1", "r2"}}
    assert {"r1", "r2"} & set(aux.metrics) == names.get(penalty, set())


def test_a_class_conditions_both_critics_and_every_frame():
    task = SMALL.sized(Spec(CLIPS.made, (("class", Label(3)),)))
    variables = shaken(task)
    sample = jax.jit(lambda label: task.sample(variables, asked(label), KEY)["made"]["value"])
    first, second = (np.asarray(sample(jnp.full(4, label))) for label in (0, 1))
    assert first.shape == (4, FRAMES, 8, 8, 1) and first.dtype == np.uint8
    assert np.all(np.any(first != second, axis=(2, 3, 4)))
    judge = jax.jit(lambda label: task.judge(variables.params, jnp.ones((4, FRAMES, 8, 8, 1)), asked(label)))
    assert np.all(judge(jnp.zeros(4, jnp.int32)) != judge(jnp.ones(4, jnp.int32)))


def test_networks_and_data_that_do_not_suit_are_told():
    pictures = Pictures().spec()
    with pytest.raises(UserError, match=r"a ClipGenerator is not for pictures, which these data have; set task.gen"):
        SMALL.sized(pictures)
    with pytest.raises(UserError, match=r"a Discriminator is not for clips, .* to ClipGenerator and ClipDiscriminator"):
        replace(SMALL, discriminator=Discriminator()).sized(CLIPS)
    with pytest.raises(UserError, match="halves its frames, and these have 9x8"):
        SMALL.discriminator.sized((4, 9, 8, 1))
    with pytest.raises(UserError, match="3x3 cannot be halved"):
        SMALL.sized(Spec(Clip(4, 6, 6, 1, 17)))
    with pytest.raises(UserError, match="without stages has not; set channels"):
        Discriminator(pooled=True).sized((8, 8, 1))
    with pytest.raises(UserError, match="motion is 0"):
        ClipGenerator(motion=0)


def test_moving_digits_are_clips_that_it_is_sized_by():
    data = MovingDigits(batch_size=4, frames=6, size=16)
    task = SMALL.sized(data.spec())
    assert task.generator.frames == 6 and task.generator.frame.image == (16, 16, 1)
