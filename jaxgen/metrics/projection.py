"""A fixed random projection of wide vectors, so that measures of large pictures take bounded time and memory."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

WIDEST = 3072  # dimensions up to which vectors are compared as they are: those of a 32x32 picture in colours
DIMENSIONS = 512  # that wider ones are projected to
PROJECTED = f"projected to {DIMENSIONS}"  # in the names of measures of projected vectors
_NUMBERS = 2**22  # float64 numbers that are transformed at a time


def is_wide(images: np.ndarray) -> bool:
    """Whether `images` [N, ...] have too many dimensions each to be compared as they are."""
    return int(np.prod(images.shape[1:])) > WIDEST


def project(images: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """[N, 512] float64: `images` [N, ...] as rows of D > 512 numbers, times `scale`, under a fixed matrix P [512, D].

    P is the subsampled randomised cosine transform, S F diag(ε): signs ε of a fixed seed, the orthonormal cosine
    transform F, and 512 of its D rows by the same seed (Ailon and Chazelle, 2009; Tropp, arXiv 1011.1595). Its rows are
    orthonormal, and over seeds the expected value of |P x|² is 512/D |x|². It is the same in every process and for
    every set of one D.

    What a Frechet distance of projected vectors means: that of the two Gaussians' marginals along the rows of P. It is
    never larger than the distance in all D dimensions, and 0 where that is 0. The part of the means is 512/D of the
    whole on average over seeds; of two covariances that are multiples of the identity it is 512/D exactly. Differences
    of covariance that cancel within a marginal are not seen.
    """
    from scipy import fft

    rows = images.reshape(len(images), -1)
    width = rows.shape[1]
    signs, chosen = _matrix(width)
    size = max(1, _NUMBERS // width)
    parts = [
        fft.dct(rows[first : first + size] * (signs * scale), norm="ortho", axis=1)[:, chosen]
        for first in range(0, len(rows), size)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, DIMENSIONS))


def _matrix(width: int) -> tuple[np.ndarray, np.ndarray]:
    """ε [D] in {-1.0, 1.0}, and the places [512] of the rows that are kept.

    NumPy promises that the numbers of the old RandomState never change, and does not promise it of its successor.
    """
    generator = np.random.RandomState(0)
    signs = 2.0 * generator.randint(0, 2, width) - 1.0
    return signs, np.sort(generator.permutation(width)[:DIMENSIONS])
