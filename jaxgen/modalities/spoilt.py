"""Pictures made worse in ways that a critic should notice."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np


def spoilt_pictures(levels: np.ndarray, most: int) -> dict[str, np.ndarray]:
    """[..., H, W, C] levels from 0 to `most`, by a word for each way.

    With noise of a tenth of the range from black to white, and blurred by the kernel [1, 2, 1] / 4 each way.
    """
    levels = np.asarray(levels, np.float64)
    noise = np.random.default_rng(0).normal(0.0, 0.1 * most, levels.shape)
    wide = np.pad(levels, [(0, 0)] * (levels.ndim - 3) + [(1, 1), (1, 1), (0, 0)], mode="edge")
    down = (wide[..., :-2, :, :] + 2 * wide[..., 1:-1, :, :] + wide[..., 2:, :, :]) / 4
    blurred = (down[..., :-2, :] + 2 * down[..., 1:-1, :] + down[..., 2:, :]) / 4
    spoilt = {"noised": levels + noise, "blurred": blurred}
    return {name: np.rint(np.clip(each, 0, most)).astype(np.uint8) for name, each in spoilt.items()}
