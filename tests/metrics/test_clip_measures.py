"""Truths of clips' measures: real digits fly straight and stay themselves, spoilt ones do not, and distances see it."""
# SPDX-License-Identifier: Apache-2.0

import hashlib

import jax
import numpy as np
import pytest

from jaxgen.data.clips import MovingDigits, kinds_and_speeds
from jaxgen.metrics import clip_features, features
from jaxgen.metrics.clip_measures import controls, flight, frozen, halves, shuffled, video_distances
from jaxgen.metrics.clip_tracks import centres, found, track
from jaxgen.metrics.train_clip_net import data, held_out_figures, train
from jaxgen.metrics.unmeasured import Unmeasured
from tests.data.batches import made

SIDE, WHITE = 8, 16
NET = features.load("digits")


@pytest.fixture(scope="module")
def clips():
    """By the most digits there are in a clip: 80 held-out clips with all that is known of them."""
    sizes = {"batch_size": 80, "frames": 16, "size": 32, "evaluated": 80}
    return {most: MovingDigits("digits", most=most, **sizes).first("test", 80)["made"] for most in (1, 2)}


@pytest.fixture(scope="module")
def figures(clips):
    return {most: flight(each["value"], NET, SIDE, WHITE + 1) for most, each in clips.items()}


def test_real_digits_stay_themselves_and_change_their_velocity_by_rounding_alone(figures):
    for most, least in ((1, 1.0), (2, 0.95)):
        assert figures[most]["identity_kept_fraction"] >= least
        # a number of a velocity changes by at most one pixel, as positions are rounded; on average by about a half
        assert figures[most]["velocity_change_pixels"] < 0.6


def test_a_lone_digit_is_found_where_it_is(clips):
    """Its ink lies within its picture, and moves as that does."""
    known = clips[1]
    for number in range(20):
        one = track(known["value"][number, ..., 0] / WHITE, SIDE)
        corner = np.floor(known["position"][number, :, 0] + 0.5)
        assert one.whole and list(one.frames) == list(range(16))
        assert (one.boxes[:, 0, :2] >= corner).all() and (one.boxes[:, 0, 2:] <= corner + SIDE).all()
        np.testing.assert_array_equal(np.diff(one.centres[:, 0], axis=0), np.diff(corner, axis=0))


def test_a_free_digit_does_not_bounce(clips):
    known = clips[1]
    for number in range(80):
        one = track(known["value"][number, ..., 0] / WHITE, SIDE)
        bounced = np.abs(np.diff(known["speed"][number, :, 0], axis=0)) > 0
        assert not (one.free[1:-1, 0] & (bounced[:-1] | bounced[1:])).any()


def test_two_digits_are_followed_through_their_frames(clips):
    known = clips[2]
    for number in np.flatnonzero((known["kind"] >= 0).all(axis=1))[:20]:
        one = track(known["value"][number, ..., 0] / WHITE, SIDE)
        if not one.whole:
            continue
        middle = known["position"][number][one.frames] + (SIDE - 1) / 2
        distance = np.linalg.norm(one.centres[:, :, None] - middle[:, None], axis=-1)  # [F, found, known]
        assert (distance.min(axis=2) < 3).all() and (distance.min(axis=1) < 3).all()


def test_what_is_spoilt_is_noticed(clips, figures):
    value, real = clips[1]["value"], figures[1]
    still, mixed = (flight(each(value), NET, SIDE, WHITE + 1) for each in (frozen, shuffled))
    assert still["speed_pixels"] == 0 and real["speed_pixels"] > 1
    assert mixed["velocity_change_pixels"] > 5 * real["velocity_change_pixels"]
    others = np.concatenate([value[:, :8], np.roll(value, 1, axis=0)[:, 8:]], axis=1)
    assert flight(others, NET, SIDE, WHITE + 1)["identity_kept_fraction"] < 0.3
    gone = value.copy()
    gone[:, 6:8] = 0
    assert flight(gone, NET, SIDE, WHITE + 1)["identity_kept_fraction"] == 0


@pytest.mark.parametrize("value", [0, WHITE])
def test_clips_without_a_digit_have_no_velocity(value):
    empty = np.full((3, 5, 32, 32, 1), value, np.uint8)
    told = flight(empty, NET, SIDE, WHITE + 1, "x_")
    assert told["x_identity_kept_fraction"] == 0
    assert isinstance(told["x_velocity_change_pixels"], Unmeasured) and isinstance(told["x_speed_pixels"], Unmeasured)


def test_ink_up_to_two_pixels_apart_is_one_digit_and_more_is_two():
    def boxes(gap):
        frame = np.zeros((32, 32))
        frame[4:10, 4:7] = frame[4:10, 7 + gap : 8 + gap] = 1.0
        frame[20, 20] = 0.4  # a trace
        return found(frame, SIDE)

    assert boxes(2).boxes.tolist() == [[4, 4, 10, 10]] and not boxes(2).touching
    assert len(boxes(3).boxes) == 2
    assert centres(boxes(2).boxes).tolist() == [[6.5, 6.5]]
    wide = np.zeros((32, 32))
    wide[4:10, 4:13] = 1.0
    assert found(wide, SIDE).touching


def test_controls_are_of_the_same_frames():
    clips = np.arange(4 * 6 * 4).reshape(4, 6, 2, 2, 1)
    sets = controls(clips)
    assert (sets["frozen_"] == clips[:, :1]).all() and sets["frozen_"].shape == clips.shape
    assert (np.sort(sets["shuffled_"], axis=1) == clips).all() and (sets["shuffled_"] != clips).any()
    assert sets["real_"] is clips


def test_a_distance_of_a_set_to_itself_is_none_and_controls_lie_above_other_real_clips():
    real = made(data(100, 600).first("test", 600))
    reference, others = halves(real)
    net = clip_features.load("digits", real.shape[1:], WHITE + 1)
    told = video_distances({"": reference} | controls(others), reference, net, WHITE + 1)
    name = f"frechet_video_distance[{net.name}]"
    assert told[name] < 1e-3 < told[f"real_{name}"]
    assert told[f"frozen_{name}"] > 3 * told[f"real_{name}"]
    assert told[f"shuffled_{name}"] > 3 * told[f"real_{name}"]


def test_a_distance_of_too_few_clips_is_told():
    few = np.zeros((3, 2, 8, 8, 1), np.uint8)
    reference, others = halves(few)
    told = video_distances({"": few, "real_": others}, reference, None, 17)
    assert all(isinstance(figure, Unmeasured) for figure in told.values()) and len(told) == 2
    reference, _ = halves(few[:1])
    assert all(isinstance(figure, Unmeasured) for figure in video_distances({"": few}, reference, None, 17).values())


def test_the_shipped_net_tells_held_out_digits_and_their_speeds():
    net = clip_features.load("digits", clip_features.SHAPE, clip_features.LEVELS)
    weights = clip_features.WEIGHTS.read_bytes()
    assert net.name == f"moving-digits-cnn3d-{hashlib.sha256(weights).hexdigest()[:4]}" and len(weights) < 500_000
    right, error = held_out_figures(net, 400)
    assert right > 0.4 and error < 0.2  # right by chance: 0.145
    assert clip_features.load("mnist", clip_features.SHAPE, clip_features.LEVELS) is None


def test_the_targets_are_the_kinds_that_are_there_and_their_mean_speeds(clips):
    known = clips[2]
    present, speeds = (np.asarray(each) for each in kinds_and_speeds(known, 10))
    for number in range(80):
        there = known["kind"][number] >= 0
        assert np.flatnonzero(present[number]).tolist() == sorted(set(known["kind"][number][there].tolist()))
        np.testing.assert_allclose(speeds[number], np.abs(known["speed"][number, 5, there]).mean(axis=0), rtol=1e-6)


def test_training_repeats_itself():
    once, again = (train(data(4).source(), 100, 2) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(again), strict=True))
