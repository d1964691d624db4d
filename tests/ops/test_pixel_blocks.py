"""Folding of pixels into features."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.ops.pixel_blocks import folded, unfolded

SIZES = st.integers(1, 3)


@given(SIZES, SIZES, SIZES, SIZES, SIZES)
def test_there_and_back_is_the_same(count, rows, columns, side, channels):
    x = np.arange(count * rows * columns * side**2 * channels, dtype=np.float32)
    x = x.reshape(count, rows * side, columns * side, channels)
    assert np.array_equal(unfolded(folded(x, side), side), x)


def test_a_squares_pixels_are_in_reading_order():
    x = np.arange(16).reshape(1, 4, 4, 1)
    assert folded(x, 2)[0].tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]
