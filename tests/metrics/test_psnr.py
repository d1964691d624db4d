"""Truths of the peak signal-to-noise ratio."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from jaxgen.metrics.psnr import psnr_db


def test_an_error_of_a_tenth_of_the_span_is_twenty_decibels():
    black = np.zeros((2, 3, 3, 1))
    assert psnr_db(np.stack([black[0] + 25.5, black[0] + 2.55]), black, 255) == pytest.approx([20, 40])
    assert psnr_db(black - 0.2, black, 2.0) == pytest.approx([20, 20])
    assert np.isinf(psnr_db(black, black, 1.0)).all()


def test_levels_do_not_wrap():
    assert psnr_db(np.full((1, 2, 2, 1), 250, np.uint8), np.full((1, 2, 2, 1), 255, np.uint8), 255) == pytest.approx(
        20 * np.log10(255 / 5)
    )
