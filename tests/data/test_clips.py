"""A clip of moving digits shows the digits at the places it tells, and a row's clip is its own whatever the batch."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.core.data import Traced
from jaxgen.data.builtin import digits
from jaxgen.data.clips import UNITS, MovingDigits
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from tests.data.batches import given, same, types
from tests.data.batches import made as made_of

DATA = MovingDigits(batch_size=16, frames=12, size=20, most=2, fastest=3.0)
SIDE = 8  # of a digit


@pytest.fixture(scope="module")
def source():
    return DATA.source()


@pytest.fixture(scope="module")
def made(source):
    """A jitted call: number and rows to a batch."""
    return jax.jit(lambda number, rows: source.next(jax.random.key(7), None, number, rows)[0])


@pytest.fixture(scope="module")
def batch(made):
    return jax.device_get(made(jnp.int32(3), jnp.arange(16)))


def test_the_batch_is_what_the_spec_says(source, batch):
    assert isinstance(source, Traced)
    shapes = DATA.spec().batch(16)
    assert types(batch) == types(shapes)


def test_positions_follow_a_simulation_step_by_step(batch):
    room = DATA.size - SIDE
    for row in range(16):
        position, speed = (
            batch["made"]["position"][row].astype(np.float64),
            batch["made"]["speed"][row].astype(np.float64),
        )
        assert (position * UNITS % 1 == 0).all() and np.abs(speed).max() <= DATA.fastest
        assert position.min() >= 0 and position.max() <= room
        for frame in range(1, DATA.frames):
            at, moving = position[frame - 1] + speed[frame - 1], speed[frame - 1].copy()
            moving = np.where((at <= 0) & (moving < 0) | (at >= room) & (moving > 0), -moving, moving)
            at = np.where(at < 0, -at, np.where(at > room, 2 * room - at, at))
            assert np.array_equal(position[frame], at) and np.array_equal(speed[frame], moving)


def test_pixels_are_the_brighter_of_the_digits_at_these_positions(batch):
    images, labels = made_of(digits()["train"]), given(digits()["train"])
    for row in range(16):
        corners = np.floor(batch["made"]["position"][row] + 0.5).astype(int)  # [T, N, 2]
        present = batch["made"]["kind"][row] >= 0
        assert present[0]
        layers = []
        for digit in np.flatnonzero(present):
            own = [label == batch["made"]["kind"][row, digit] for label in labels]
            layers.append([clip_of(image, corners[:, digit]) for image in images[np.array(own)]])
        first, second = layers if present.all() else (layers[0], [np.zeros_like(layers[0][0])])
        assert any(
            np.array_equal(batch["made"]["value"][row], np.maximum(a, b))
            for a in candidates(batch, row, first)
            for b in second
        )


def clip_of(image, corners):
    clip = np.zeros((DATA.frames, DATA.size, DATA.size, 1), np.uint8)
    for frame, (y, x) in enumerate(corners):
        clip[frame, y : y + SIDE, x : x + SIDE] = image
    return clip


def candidates(batch, row, layer):
    """Those that are nowhere brighter than the clip: few."""
    return [one for one in layer if (one <= batch["made"]["value"][row]).all()]


def test_a_rows_clip_is_the_same_alone_and_on_several_devices(made, source, batch):
    alone = made(jnp.int32(3), jnp.array([5, 11]))
    assert same(alone, jax.tree.map(lambda array: array[[5, 11]], batch))
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    rows = jax.device_put(jnp.arange(16), NamedSharding(mesh, PartitionSpec("data")))
    spread = made(jnp.int32(3), rows)
    assert same(spread, batch)
    assert not np.array_equal(made_of(made(jnp.int32(4), rows)), made_of(batch))


def test_one_and_two_digits_come_alike_often_in_all_classes(source):
    labels_of = jax.jit(lambda rows: source.next(jax.random.key(7), None, jnp.int32(0), rows)[0]["made"]["kind"])
    labels = np.asarray(labels_of(jnp.arange(4000)))
    assert abs((labels[:, 1] >= 0).mean() - 0.5) < 0.03 and (labels[:, 0] >= 0).all()
    assert set(labels[:, 1].tolist()) == set(range(-1, 10))


def test_an_evaluation_is_always_the_same_and_of_held_out_digits():
    data = MovingDigits(batch_size=8, frames=2, size=16, most=1, evaluated=20)
    one, two = data.evaluation("test"), data.evaluation("test")
    assert same(one, two) and one["weight"].sum() == 20
    assert one["made"]["value"].shape == (3, 8, 2, 16, 16, 1)
    held_out = {image.tobytes() for image in made_of(digits()["test"])}
    corner = np.floor(one["made"]["position"][0, 0, 0, 0] + 0.5).astype(int)
    seen = one["made"]["value"][0, 0, 0, corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE]
    assert seen.tobytes() in held_out


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 8}, "data.size is 8; give more than the 8 pixels"),
        ({"digits": "emoji"}, "no labels; name another set"),
        ({"digits": "mnst"}, "data.digits is .mnst., .* did you mean .mnist."),
        ({"most": 0}, "give at least 1 of each"),
        ({"fastest": 0.0}, "data.fastest is 0.0"),
    ],
)
def test_settings_that_cannot_be(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        MovingDigits(**settings).spec()


def test_clips_are_called_otherwise_than_the_digits_in_them():
    """A report compares runs whose data have one name with each other."""
    assert MovingDigits("mnist").name == "moving-mnist" and MovingDigits().name != Pictures().name
