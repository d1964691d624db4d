"""Truths of the protocol: floor and histogram stand far apart, collapse and wrong classes show."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from jaxgen.data.builtin import digits
from jaxgen.errors import UserError
from jaxgen.metrics.features import load
from jaxgen.metrics.sample_quality import (
    draw_measures,
    picture_measures,
    reconstruction_measures,
    reference_rows,
)
from jaxgen.metrics.two_sample import two_sample_accuracy
from tests.data.batches import given, made

NET = load("digits")
TRAIN, TEST = digits()["train"], digits()["test"]
SMALL = made(TEST)[:60], given(TEST)[:60]


@pytest.fixture(scope="module")
def rows():
    return reference_rows(made(TRAIN), given(TRAIN), made(TEST), given(TEST), NET, seed=0, draws=2)


def test_a_model_has_room_between_the_floor_and_half_the_histograms_distance(rows):
    for space in ("pixels", NET.name):
        name = f"frechet_distance[{space}]"
        assert rows["real"][name] < 0.25 * rows["histogram"][name], name


def test_the_floor_is_real_and_the_histogram_is_not(rows):
    real, histogram = rows["real"], rows["histogram"]
    assert real["recognised_fraction"] > 0.99 and 0.7 < histogram["recognised_fraction"] < 0.9
    assert real["classes_drawn"] == histogram["classes_drawn"] == 10
    assert abs(real["two_sample_accuracy"] - 0.5) < 0.08 and histogram["two_sample_accuracy"] > 0.75
    for name in (f"precision[{NET.name}]", f"recall[{NET.name}]"):
        assert real[name] > histogram[name] + 0.15


def test_the_held_out_pictures_themselves_are_at_no_distance():
    images, labels = SMALL
    measures = draw_measures(images, labels, images, NET, levels=17)
    assert measures["frechet_distance[pixels]"] == pytest.approx(0.0, abs=1e-12)
    assert measures[f"frechet_distance[{NET.name}]"] == pytest.approx(0.0, abs=1e-9)
    assert measures[f"precision[{NET.name}]"] == measures[f"recall[{NET.name}]"] == 1.0


def test_several_draws_give_the_mean_and_the_spread_of_each():
    (reference, labels), first = SMALL, made(TRAIN)[:60]
    second = np.random.default_rng(0).integers(17, size=first.shape, dtype=np.uint8)
    apart = [draw_measures(draw, labels, reference, NET, levels=17) for draw in (first, second)]
    together = picture_measures(np.concatenate([first, second]), np.tile(labels, 2), reference, NET)
    for name in apart[0]:
        values = [measures[name] for measures in apart]
        assert together[name] == pytest.approx(np.mean(values), rel=1e-5)
        assert together[f"{name}/spread"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2), rel=1e-4, abs=1e-6)
    assert together["two_sample_accuracy"] < 0.7  # the forest would know the second draw, which is noise, at sight


def test_wrong_and_missing_classes_show():
    images, labels = SMALL
    wrong = draw_measures(images, (labels + 1) % 10, images, NET, levels=17)
    assert wrong["recognised_fraction"] < 0.05
    sevens = np.repeat(made(TRAIN)[given(TRAIN) == 7][:1], 60, axis=0)
    assert draw_measures(sevens, labels, images, NET, levels=17)["classes_drawn"] == 1
    unasked = draw_measures(sevens, None, images, NET, levels=17)
    assert unasked["classes_drawn"] == 1 and "recognised_fraction" not in unasked
    assert unasked[f"recall[{NET.name}]"] < 0.1


def test_without_a_net_pixels_are_measured():
    images, labels = SMALL
    measures = draw_measures(images[:30] * 15, labels[:30], images[30:] * 15, None, levels=241)
    expected = draw_measures(images[:30], labels[:30], images[30:], NET, levels=17)["frechet_distance[pixels]"]
    assert measures == {"frechet_distance[pixels]": pytest.approx(expected, rel=1e-9)}  # a scale of levels is no change


def test_the_forest_sees_a_single_level_of_noise():
    images, noise = made(TRAIN)[:200], np.random.default_rng(0).normal(size=(100, 8, 8, 1))
    assert two_sample_accuracy(np.clip(np.round(images[:100] + noise), 0, 16), images[100:]) > 0.9


@pytest.mark.parametrize(
    ("images", "word"),
    [
        (SMALL[0][:50], "50 pictures against 60"),
        (SMALL[0][:0], "0 pictures against 60"),
        (SMALL[0] / 2, "round them"),
        (SMALL[0] + 9, "levels 9 .. 25"),
    ],
)
def test_what_cannot_be_compared_is_refused(images, word):
    with pytest.raises(UserError, match=word):
        picture_measures(images, None, SMALL[0], NET)


def test_unequal_sets_have_no_chance_level():
    with pytest.raises(ValueError, match="equal counts"):
        two_sample_accuracy(SMALL[0], SMALL[0][:30])


def test_pictures_made_again_are_measured_against_themselves():
    real = made(TEST)
    same = reconstruction_measures(real + 0.1, real, NET, 17)
    assert same["reconstruction_psnr_db"] == pytest.approx(20 * np.log10(16 / 0.1))
    assert same["reconstruction_frechet_distance[pixels]"] == pytest.approx(0, abs=1e-6)
    assert same[f"reconstruction_frechet_distance[{NET.name}]"] == pytest.approx(0, abs=1e-3)
    noise = np.random.default_rng(0).normal(size=real.shape)
    far = reconstruction_measures(real + 4 * noise, real, NET, 17)
    errors = np.log10(16**2 / (16 * noise.reshape(len(real), -1) ** 2).mean(axis=1))
    assert far["reconstruction_psnr_db"] == pytest.approx(10 * errors.mean())
    assert all(far[name] > same[name] + 0.05 for name in far if "frechet" in name)
