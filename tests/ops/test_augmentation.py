"""Every picture of an augmented batch is itself, its mirror or a part of it, by draws that belong to its row alone."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.augmentation import cropped, flipped, shifted

H, W, PADDING, B = 5, 4, 2, 400
KEY, ROWS = jax.random.key(7), jnp.arange(B)
CROP = jax.jit(lambda image, row: cropped(image, KEY, row, PADDING))
SHIFT = jax.jit(lambda image, row: shifted(image, KEY, row, PADDING))
FLIP = jax.jit(lambda image, row: flipped(image, KEY, row))


def coordinates() -> np.ndarray:
    """[B, H, W, 2]: each pixel holds its own place, counted from 1, so that black is no place."""
    place = np.stack(np.meshgrid(np.arange(H), np.arange(W), indexing="ij"), axis=-1) + 1
    return np.broadcast_to(place.astype(np.uint8), (B, H, W, 2))


def test_a_flip_mirrors_half_of_the_pictures_and_a_second_one_undoes_it():
    image = jax.random.randint(KEY, (B, H, W, 3), 0, 256).astype(jnp.uint8)
    once = np.asarray(FLIP(image, ROWS))
    image = np.asarray(image)
    mirrored = (once == image[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((once == image).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / B**0.5  # four standard deviations
    np.testing.assert_array_equal(FLIP(once, ROWS), image)
    assert once.dtype == np.uint8


def test_a_crop_is_a_window_of_the_padded_picture_and_all_windows_come_up_evenly():
    image = coordinates()
    wide = np.pad(image[0], ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    side = 2 * PADDING + 1
    windows = np.stack([wide[top : top + H, left : left + W] for top in range(side) for left in range(side)])
    found = np.asarray(CROP(image, ROWS))
    same = (found[:, None] == windows[None]).all(axis=(2, 3, 4))  # [B, windows]
    assert (same.sum(axis=1) == 1).all()
    expected = B / len(windows)
    chi_squared = ((same.sum(axis=0) - expected) ** 2 / expected).sum()
    assert chi_squared < 51.2  # 24 degrees of freedom: exceeded once in a thousand


def test_a_shift_moves_every_picture_and_repeats_its_border():
    found = np.asarray(SHIFT(coordinates(), ROWS)).astype(int)
    down, right = found[:, :, 0, 0], found[:, 0, :, 1]  # the row and the column that each pixel was taken from
    for moved, side in ((down, H), (right, W)):
        places = [np.clip(np.arange(1, side + 1) + by, 1, side) for by in range(-PADDING, PADDING + 1)]
        assert {tuple(one) for one in moved} == {tuple(one) for one in places}
    np.testing.assert_array_equal(found, np.stack(np.broadcast_arrays(down[:, :, None], right[:, None]), axis=-1))


@pytest.mark.parametrize("change", [CROP, FLIP, SHIFT], ids=["crop", "flip", "shift"])
def test_a_row_is_changed_alike_in_whatever_batch_it_stands(change):
    image = coordinates()
    whole, order = np.asarray(change(image, ROWS)), np.random.default_rng(0).permutation(B)
    np.testing.assert_array_equal(change(image, order), whole[order])
