"""What D sees in training: changes against their definitions, drawn by row, the same for a real and its fake."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.families.gan.diff_augment import DiffAugment, coloured, cut, moved
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.running.train_run import train_run
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.training.step import init_state, make_game, take_step
from tests.commands.test_resume import end_of
from tests.given import pictures
from tests.running.test_rollback import stop_after

KEY, ROW = jax.random.key(4), jnp.arange(300)
SMALL = Gan(
    Generator(width=8, blocks=1, latent=4),
    Discriminator(width=8, blocks=1, features=4),
    critic_turns=2,
    augment=DiffAugment(probability=0.8, ramp=40),
)
PICTURES = jax.random.uniform(jax.random.key(1), (300, 8, 16, 3), minval=-1.0)


@pytest.mark.parametrize("augment", [DiffAugment(strength=0.0, probability=1.0), DiffAugment(probability=0.0)])
def test_without_strength_or_probability_pictures_stay_as_they_are(augment):
    np.testing.assert_array_equal(augment(PICTURES, KEY, ROW), PICTURES)


def test_a_picture_is_changed_with_the_probability_and_by_its_rows_own_draws():
    augment = jax.jit(DiffAugment(probability=0.3))
    changed = augment(PICTURES, KEY, ROW)
    share = np.mean(np.any(changed != PICTURES, axis=(1, 2, 3)))
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 300)
    np.testing.assert_allclose(augment(PICTURES[::-1], KEY, ROW[::-1]), changed[::-1], atol=1e-6)
    assert np.any(augment(PICTURES, jax.random.key(5), ROW) != changed)


def test_a_real_and_the_fake_of_its_row_are_changed_alike():
    """All changes are linear but for an offset: equal draws give a difference of pictures the linear part alone."""
    augment, other = DiffAugment(probability=1.0), PICTURES[:, ::-1] * 0.5
    change = jax.jit(lambda x: augment(x, KEY, ROW))
    middle = (change(PICTURES) + change(other)) / 2
    np.testing.assert_allclose(change((PICTURES + other) / 2), middle, atol=1e-5)


def test_colours_change_brightness_then_saturation_then_contrast_around_means():
    grey = jnp.broadcast_to(jnp.float32(0.25), (300, 4, 4, 3))
    seen = np.asarray(coloured(grey, KEY, ROW, 1.0))  # one colour everywhere: brightness alone is seen
    assert np.ptp(seen.reshape(300, -1), axis=1).max() < 1e-6
    offset = seen[:, 0, 0, 0] - 0.25
    assert -0.5 <= offset.min() < -0.45 and 0.45 < offset.max() <= 0.5
    bright = PICTURES + offset[:, None, None, None]
    changed = np.asarray(coloured(PICTURES, KEY, ROW, 1.0))
    np.testing.assert_allclose(changed.mean(axis=(1, 2, 3)), bright.mean(axis=(1, 2, 3)), atol=1e-5)
    light = lambda x: np.asarray(x).mean(axis=3) - np.asarray(x).mean(axis=(1, 2, 3))[:, None, None]  # noqa: E731
    contrast = (light(changed) / light(bright)).reshape(300, -1)  # saturation keeps each pixel's mean
    np.testing.assert_allclose(contrast, contrast[:, :1] * np.ones_like(contrast), rtol=2e-2)
    assert 0.5 <= contrast[:, 0].min() < 0.55 and 1.45 < contrast[:, 0].max() <= 1.51


def test_a_picture_is_moved_by_an_eighth_of_each_side_at_most_and_zeros_come_in():
    seen, steps = np.asarray(moved(PICTURES, KEY, ROW, 1.0)), set()
    for before, after in zip(np.asarray(PICTURES), seen, strict=True):
        wide = np.pad(before, ((1, 1), (2, 2), (0, 0)))
        (found,) = [
            (down, across)
            for down in range(3)
            for across in range(5)
            if np.allclose(wide[down : down + 8, across : across + 16], after, atol=1e-6)
        ]
        steps.add(found)
    assert len(steps) == 15  # every one of them


def test_a_square_of_half_of_each_side_is_blank():
    ones = jnp.ones((300, 8, 16, 1))
    holes = np.asarray(cut(ones, KEY, ROW, 1.0))[..., 0] == 0
    height, width = holes.any(axis=2).sum(axis=1), holes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2)), height * width)  # rectangles
    assert set(height) == {2, 3, 4} and set(width) == set(range(4, 9))  # those at the borders are cut off there


def test_the_gradient_goes_through_to_what_is_still_seen():
    """Of the sum of all pixels: cut ones have none; a move loses what leaves the picture."""
    augment = DiffAugment(probability=1.0)
    slope = np.asarray(jax.grad(lambda x: (augment(x, KEY, ROW) ** 2).sum())(PICTURES))
    seen = np.asarray(augment(PICTURES, KEY, ROW))
    assert (np.abs(slope).reshape(300, -1).max(axis=1) > 0).all()
    # for a change A x + b the slope of |A x + b|^2 is 2 A^T (A x + b): along any direction v it is 2 (A v) . (A x + b)
    direction = jax.random.normal(jax.random.key(2), PICTURES.shape)
    linear = np.asarray(augment(PICTURES + direction, KEY, ROW)) - seen
    along, expected = (slope * direction).sum(axis=(1, 2, 3)), 2 * (linear * seen).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(along, expected, rtol=1e-3, atol=1e-2)


def test_strengths_that_cannot_be_are_refused():
    with pytest.raises(UserError, match=r"augment\.strength"):
        DiffAugment(strength=1.5)
    with pytest.raises(UserError, match=r"augment\.probability"):
        DiffAugment(probability=-0.1)
    for ramp in (-1, 2**31):
        with pytest.raises(UserError, match=rf"augment\.ramp is {ramp}; give a number of pictures from 0"):
            DiffAugment(ramp=ramp)


@pytest.mark.parametrize(("seen", "share"), [(0, 0.0), (25, 0.2), (75, 0.6), (100, 0.8), (10**9, 0.8)])
def test_the_probability_rises_linearly_with_the_pictures_seen(seen, share):
    augment = DiffAugment(probability=0.8, ramp=100)
    assert float(augment.probability_after(jnp.int32(seen))) == pytest.approx(share)
    changed = np.any(augment(PICTURES, KEY, ROW, jnp.int32(seen)) != PICTURES, axis=(1, 2, 3))
    drawn = jax.vmap(lambda row: jax.random.uniform(jax.random.fold_in(jax.random.split(KEY, 4)[0], row)))(ROW)
    np.testing.assert_array_equal(changed, drawn < np.float32(share))  # of one draw a row more and more are below


def test_a_ramp_at_its_end_and_no_ramp_are_the_same_to_the_bit():
    plain = DiffAugment(probability=0.3)(PICTURES, KEY, ROW)
    np.testing.assert_array_equal(DiffAugment(probability=0.3, ramp=7)(PICTURES, KEY, ROW, jnp.int32(7)), plain)
    assert Gan(augment=DiffAugment()).sized(pictures((8, 8, 1), levels=17)).init(KEY).extra.shared.seen is None


def test_the_reals_of_the_discriminators_turns_that_are_taken_are_counted():
    """Of a batch in parts, too; not those of weight 0, nor the generator's."""
    unchanging = replace(SMALL, gamma=0.0, augment=replace(SMALL.augment, strength=0.0))  # compiled sooner
    task = unchanging.sized(pictures((8, 8, 1), levels=17))
    value = jax.random.randint(KEY, (6, 8, 8, 1), 0, 17).astype(jnp.uint8)
    batch = {"row": jnp.arange(6), "given": {}, "made": {"value": value}, "weight": jnp.array([1.0, 1, 0, 2, 1, 1])}
    adam = {turn.name: AdamW(1e-3) for turn in task.turns()}
    game = make_game(task, jax.eval_shape(task.init, KEY).params, adam, {}, 9, 6, accumulate=2)
    step = jax.jit(lambda state: take_step(game, state, lambda source, *_: (batch, source), lambda tree: tree)[0])
    states = [init_state(game, KEY)]
    for _ in range(4):
        states.append(step(states[-1]))
    assert [int(state.extra.shared.seen) for state in states] == [0, 10, 20, 30, 40]
    spoilt = states[1].replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, states[1].params))
    assert int(step(spoilt).extra.shared.seen) == 10


def test_a_count_stops_where_int32_has_room():
    shared = SMALL.sized(pictures((8, 8, 1), levels=17)).init(KEY).extra.shared.replace(seen=jnp.int32(2**30 - 3))
    for _ in range(3):
        shared = shared.absorb(type(shared).of(jnp.ones(4), jnp.ones(4), jnp.ones(4)))
    assert int(shared.seen) == 2**30


@pytest.mark.slow
def test_a_run_that_was_stopped_on_the_ramp_ends_as_one_that_was_not(tmp_path):
    """Its calls are cut otherwise, too. By default the contract's GAN, which has a ramp, stands for it."""
    adam, every = {name: AdamW(1e-3) for name in ("discriminator", "generator")}, Every(log=3, checkpoint=3)
    data, parallel = Pictures(batch_size=4, given=False), Parallel(data=1)
    whole = Experiment(SMALL, data, adam, 8, steps_per_call=4, every=every, parallel=parallel)
    cut_otherwise = replace(whole, steps_per_call=1)
    assert train_run(whole, tmp_path / "whole", lambda: False) == 8
    assert 0 < train_run(cut_otherwise, tmp_path / "run", stop_after(2)) < 5  # 40 pictures are seen after five steps
    assert train_run(cut_otherwise, tmp_path / "run", lambda: False) == 8
    assert end_of(tmp_path / "run")[:2] == end_of(tmp_path / "whole")[:2]
