"""Levels, numbers and tokens, there and back."""
# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.levels import to_levels, to_tokens, to_unit


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_there_and_back(levels):
    image = jnp.arange(levels).reshape(1, -1, 1, 1)
    unit = to_unit(image, levels)
    assert float(unit.min()) == -1 and float(unit.max()) == pytest.approx(1)
    assert np.array_equal(to_levels(unit, levels), image)
    assert to_levels(jnp.array([-9.0, 9.0]), levels).tolist() == [0, levels - 1]


def test_tokens_go_row_by_row_a_pixels_channels_together():
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert to_tokens(jnp.asarray(image)).tolist() == [list(range(12))]
