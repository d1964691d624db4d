"""The kernel distance between two sets of vectors, which needs no Gaussian and has no bias."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.unmeasured import TooFew

_ROWS = 1024  # whose products with all others are held at a time


def kernel_distance(samples: np.ndarray, reference: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy between `samples` [N, D] and `reference` [M, D].

    Under the kernel (x y / D + 1)^3 of arXiv 1801.01401, section 4, by eq. 3 of Gretton et al. 2012, over all pairs. 0
    on average where both are drawn from one distribution, so that single values may lie below it (most do where both
    have the same number of each class: they differ by less than chance). Unlike the Frechet distance it can be compared
    between sets of different sizes. TooFew for fewer than two vectors a side.
    """
    if min(len(samples), len(reference)) < 2:
        raise TooFew(f"a kernel distance needs at least 2 examples a side: {len(samples)} against {len(reference)}")
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    between = _sum_of_kernels(samples, reference) / (len(samples) * len(reference))
    return _within(samples) + _within(reference) - 2 * between


def _within(vectors: np.ndarray) -> float:
    """The mean kernel of two different vectors."""
    own, count = _of_products(np.einsum("nd,nd->n", vectors, vectors), vectors.shape[1]).sum(), len(vectors)
    return (_sum_of_kernels(vectors, vectors) - float(own)) / (count * (count - 1))


def _sum_of_kernels(a: np.ndarray, b: np.ndarray) -> float:
    """Over all pairs of [N, D] and [M, D], some rows at a time: bounded memory."""
    blocks = (a[first : first + _ROWS] for first in range(0, len(a), _ROWS))
    return float(sum(_of_products(block @ b.T, a.shape[1]).sum() for block in blocks))


def _of_products(products: np.ndarray, dimensions: int) -> np.ndarray:
    return (products / dimensions + 1) ** 3
