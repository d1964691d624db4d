"""Grids: the PNG gives back every pixel at its place, and levels survive the way to pixels and back."""
# SPDX-License-Identifier: Apache-2.0

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.reporting.grids import LABEL_HEIGHT, image_grid, levels_to_pixels

CALM = settings(deadline=None)  # the machine may be busy


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))  # [H, W, C + alpha]


@CALM
@given(
    count=st.integers(1, 7),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.sampled_from((1, 3)),
    columns=st.integers(1, 4),
    scale=st.integers(1, 6),
    labelled=st.booleans(),
)
def test_the_png_holds_every_pixel_magnified_and_nothing_else(count, size, channels, columns, scale, labelled):
    images = np.random.default_rng(0).integers(0, 256, (count, *size, channels), np.uint8)
    grid = decoded(image_grid(images, columns, scale, ["x"] * columns if labelled else None))
    gutter, top = max(2, scale // 2), LABEL_HEIGHT if labelled else 0
    seen = np.zeros(grid.shape[:2], bool)
    for index, image in enumerate(images):
        y = top + index // columns * (size[0] * scale + gutter)
        x = index % columns * (size[1] * scale + gutter)
        tile = grid[y : y + size[0] * scale, x : x + size[1] * scale]
        np.testing.assert_array_equal(tile[..., :channels], np.kron(image, np.ones((scale, scale, 1), np.uint8)))
        assert (tile[..., channels] == 255).all()
        seen[y : y + size[0] * scale, x : x + size[1] * scale] = True
    assert (grid[top:, :, channels][~seen[top:]] == 0).all()  # gutters and empty places are transparent


def test_labels_are_drawn_over_their_columns(images):
    grid = decoded(image_grid(levels_to_pixels(images, 17), 10, 5, [str(digit) for digit in range(10)]))
    ink = grid[:LABEL_HEIGHT, :, 1].any(axis=0)
    assert all(ink[column * 42 : column * 42 + 40].any() for column in range(10))
    assert not image_has_ink(image_grid(levels_to_pixels(images, 17), 10, 5, [" "] * 10))


def image_has_ink(png: bytes) -> bool:
    return bool(decoded(png)[:LABEL_HEIGHT, :, 1].any())


@CALM
@given(levels=st.integers(2, 256))
def test_levels_there_and_back(levels):
    values = np.arange(levels)
    pixels = levels_to_pixels(values, levels)
    assert pixels.dtype == np.uint8 and (pixels[0], pixels[-1]) == (0, 255) and (np.diff(pixels.astype(int)) > 0).all()
    np.testing.assert_array_equal(np.rint(pixels / 255 * (levels - 1)).astype(int), values)


def test_256_levels_are_the_pixels():
    np.testing.assert_array_equal(levels_to_pixels(np.arange(256), 256), np.arange(256))


@pytest.mark.parametrize("values, levels", [([0, 17], 17), ([-1], 17), ([float("nan")], 17), ([0], 1)])
def test_values_outside_the_levels_are_refused(values, levels):
    with pytest.raises(ValueError, match="levels"):
        levels_to_pixels(np.array(values), levels)


@pytest.mark.parametrize("shape, dtype", [((2, 8, 8), np.uint8), ((2, 8, 8, 2), np.uint8), ((0, 8, 8, 1), np.uint8),
                                          ((2, 8, 8, 1), np.float32)])  # fmt: skip
def test_what_is_no_picture_is_refused(shape, dtype):
    with pytest.raises(ValueError, match="uint8 pictures"):
        image_grid(np.zeros(shape, dtype), 2, 5)
    with pytest.raises(ValueError, match="labels"):
        image_grid(np.zeros((2, 8, 8, 1), np.uint8), 2, 5, ["one"])
