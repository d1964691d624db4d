"""Fidelity and variety of one set of vectors against another, by nearest neighbours."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator

import numpy as np

from jaxgen.metrics.unmeasured import TooFew

_ROWS = 1024  # whose distances to all others are held at a time
_ROUNDING = 4e-13  # of squared norms and distances: so far beyond its squared radius a ball reaches, for ties


def precision_recall(samples: np.ndarray, reference: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall of `samples` [N, D] against `reference` [M, D]: eq. 2, arXiv 1904.06991.

    Precision is the fraction of samples that lie within some reference vector's distance to its k-th nearest fellow,
    recall the fraction of reference vectors that lie so near to a sample. Both depend on N and M: compare only figures
    of equal counts. TooFew when a set has no k-th neighbour.
    """
    if min(len(samples), len(reference)) <= k:
        raise TooFew(
            f"precision and recall need more than {k} examples a side: {len(samples)} against {len(reference)}"
        )
    around_samples, around_reference = _squared_radii(samples, k), _squared_radii(reference, k)
    precise, recalled = 0, np.zeros(len(reference), bool)
    for rows, squared in _squared_distances(samples, reference):
        precise += (squared <= around_reference).any(axis=1).sum()  # f(φ_g, Φ_r) of eq. 1
        recalled |= (squared <= around_samples[rows, None]).any(axis=0)  # f(φ_r, Φ_g) of eq. 1
    return float(precise / len(samples)), float(recalled.mean())


def density_coverage(samples: np.ndarray, reference: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage of `samples` [N, D] against `reference` [M, D]: eq. 4 and 5, arXiv 2002.09797.

    Around each reference vector lies a ball that reaches to its k-th nearest fellow. Density is how many balls a sample
    lies in, over k: about 1 for real examples, more where samples crowd around the likeliest ones. Coverage is the
    fraction of balls that hold a sample; of real examples it is 1 - 2^-k at equal counts (0.97 for k = 5). One
    outlying example widens neither, as it does precision and recall. TooFew when there is no k-th neighbour.
    """
    if len(reference) <= k or not len(samples):
        raise TooFew(f"density and coverage need more than {k} held-out examples and a sample: {len(reference)}")
    around, inside, covered = _squared_radii(reference, k), 0, np.zeros(len(reference), bool)
    for _, squared in _squared_distances(samples, reference):
        within = squared <= around
        inside += within.sum()
        covered |= within.any(axis=0)
    return float(inside / (k * len(samples))), float(covered.mean())


def _squared_radii(vectors: np.ndarray, k: int) -> np.ndarray:
    """[N] the squared distance from each vector to its k-th nearest fellow, and what products round beside it."""
    blocks = _squared_distances(vectors, vectors)
    squared = np.concatenate([np.partition(block, k, axis=1)[:, k] for _, block in blocks])  # place 0: itself
    return squared + _ROUNDING * (squared + np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of `a` [N, D] at a time, and their squared distances to all of `b` [M, D]: bounded memory."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.einsum("nd,nd->n", b, b)
    for first in range(0, len(a), _ROWS):
        rows = slice(first, min(first + _ROWS, len(a)))
        own = np.einsum("nd,nd->n", a[rows], a[rows])[:, None]
        yield rows, own + norms - 2 * (a[rows] @ b.T)
