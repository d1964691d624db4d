"""The peak signal-to-noise ratio of pictures that should be others."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np


def psnr_db(pictures: np.ndarray, originals: np.ndarray, span: float) -> np.ndarray:
    """[N] decibels of [N, ...]: 10 log10(span² / mean squared error), `span` from black to white; inf where alike."""
    errors = (np.asarray(pictures, np.float64) - np.asarray(originals, np.float64)) ** 2
    with np.errstate(divide="ignore"):
        return 10 * np.log10(span**2 / errors.reshape(len(errors), -1).mean(axis=1))
