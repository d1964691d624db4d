"""The kernel distance between two sets of vectors, which needs no Gaussian and has no bias."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.unmeasured import TooFew


def kernel_distance(samples: np.ndarray, reference: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy between `samples` [N, D] and `reference` [M, D].

    Under the kernel (x y / D + 1)^3 of arXiv 1801.01401, section 4, by eq. 3 of Gretton et al. 2012, over all pairs. 0
    on average where both are drawn from one distribution, so that single values may lie below it (most do where both
    have the same number of each class: they differ by less than chance). Unlike the Frechet distance it can be compared
    between sets of different sizes. Holds [N, N], [N, M] and [M, M] numbers. TooFew for
    fewer than two vectors a side.
    """
    if min(len(samples), len(reference)) < 2:
        raise TooFew(f"a kernel distance needs at least 2 examples a side: {len(samples)} against {len(reference)}")
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    return _within(samples) + _within(reference) - 2 * float(_kernel(samples, reference).mean())


def _within(vectors: np.ndarray) -> float:
    """The mean kernel of two different vectors."""
    kernel, count = _kernel(vectors, vectors), len(vectors)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3
