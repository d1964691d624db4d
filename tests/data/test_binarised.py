"""Binarised pictures: anew in training, by row; once for all where they are measured; and pictures of nothing given."""
# SPDX-License-Identifier: Apache-2.0

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image as Drawing

from jaxgen.data.picture_views import drawn_once
from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.errors import UserError
from jaxgen.ops.augmentation import binarised
from jaxgen.types import Image, Label, Spec
from tests.data.batches import batch_at, made, same
from tests.data.test_tfds import prepared_set

KEY, DIGITS = jax.random.key(4), Pictures(binarise=True, batch_size=16)


def test_training_pixels_are_ink_as_often_as_they_are_bright_and_drawn_by_row():
    image = jnp.broadcast_to(jnp.arange(17, dtype=jnp.uint8), (8, 1, 17))[None].repeat(2000, 0)
    rows = jnp.arange(2000)
    drawn = np.asarray(binarised(image, KEY, rows, 16))
    expected = np.arange(17) / 16
    error = 5 * np.sqrt(expected * (1 - expected) / (2000 * 8))
    assert np.all(np.abs(drawn.mean(axis=(0, 1, 2)) - expected) <= error) and set(np.unique(drawn)) == {0, 1}
    np.testing.assert_array_equal(binarised(image[3:9], KEY, rows[3:9], 16), drawn[3:9])
    assert np.any(binarised(image, jax.random.key(5), rows, 16) != drawn) and np.any(drawn[0] != drawn[1])


def test_the_source_has_intensities_which_each_step_draws_from_anew():
    assert DIGITS.spec() == Spec(Image(8, 8, 1, 2), (("class", Label(10)),))
    plain, batch = Pictures(batch_size=16), DIGITS.source().next(KEY, None, jnp.int32(0), jnp.arange(16))[0]
    assert same(batch, plain.source().next(KEY, None, jnp.int32(0), jnp.arange(16))[0])
    first, other = (np.asarray(made(DIGITS.augment(batch, jax.random.key(seed)))) for seed in (0, 1))
    assert first.dtype == np.uint8 and first.max() == 1 and np.any(first != other)
    assert not np.any(first[made(batch) == 0]) and np.all(first[made(batch) == 16])


def test_what_is_measured_is_one_draw_the_same_on_every_machine():
    drawn, plain = made(DIGITS.arrays("test")), made(Pictures().arrays("test"))
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == "07c5a1437feedc89"
    assert not np.any(drawn[plain == 0]) and np.all(drawn[plain == 16])
    for level in range(1, 16):
        share, count = drawn[plain == level].mean(), (plain == level).sum()
        assert abs(share - level / 16) < 5 * np.sqrt(level / 16 * (1 - level / 16) / count)
    np.testing.assert_array_equal(made(DIGITS.first("test", 7)), drawn[:7])
    np.testing.assert_array_equal(made(DIGITS.evaluation("test")).reshape(-1, 8, 8, 1)[:360], drawn)
    np.testing.assert_array_equal(drawn_once(plain[5], 5, 16), drawn[5])


def test_a_tfds_set_is_drawn_by_its_places_wherever_it_is_read(tmp_path):
    grey = lambda number: Drawing.new("L", (4, 4), 10 * number)  # noqa: E731
    root = prepared_set(tmp_path, {"train": 20, "test": 9}, grey, channels=1)
    data = Pictures(name="toy", data_dir=root, binarise=True, given=False, batch_size=4)
    assert data.spec() == Spec(Image(4, 4, 1, 2)) and data.class_names() == {}
    whole = data.arrays("test")
    assert whole["given"] == {} and made(whole).max() == 1
    np.testing.assert_array_equal(made(whole), [drawn_once(np.full((4, 4, 1), 10 * n), n, 255) for n in range(9)])
    np.testing.assert_array_equal(made(data.spread("test", 3)), made(whole)[:3])
    streamed = Pictures(name="toy", data_dir=root, binarise=True, given=False, batch_size=4, residence=Residence.DISK)
    batch = batch_at(streamed.source(), KEY, 1)
    assert batch["given"] == {} and np.all(made(batch) % 10 == 0) and made(batch).max() > 1


def test_only_some_classes_are_chosen_even_where_they_are_not_given():
    both = [Pictures(only=(3, 5), given=given).arrays("test") for given in (True, False)]
    np.testing.assert_array_equal(*map(made, both))
    assert both[1]["given"] == {} and Pictures(given=False).spec() == Spec(Image(8, 8, 1, 17))


def test_colours_cannot_be_binarised():
    with pytest.raises(UserError, match="emoji has 3 channels; choose a grey set"):
        Pictures(name="emoji", binarise=True).spec()
