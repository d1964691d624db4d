"""Precision and recall of one set of vectors against another, by nearest neighbours."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.unmeasured import TooFew


def precision_recall(samples: np.ndarray, reference: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall of `samples` [N, D] against `reference` [M, D]: eq. 2, arXiv 1904.06991.

    Precision is the fraction of samples that lie within some reference vector's distance to its k-th nearest fellow,
    recall the fraction of reference vectors that lie so near to a sample. Both depend on N and M: compare only figures
    of equal counts. Holds [N, M], [N, N] and [M, M] distances. TooFew when a set has no k-th neighbour.
    """
    from scipy.spatial.distance import cdist

    if min(len(samples), len(reference)) <= k:
        raise TooFew(
            f"precision and recall need more than {k} examples a side: {len(samples)} against {len(reference)}"
        )
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    between = cdist(samples, reference)  # [N, M]
    precise = between <= _radii(reference, k)[None, :]  # f(φ_g, Φ_r) of eq. 1
    recalled = between <= _radii(samples, k)[:, None]  # f(φ_r, Φ_g) of eq. 1
    return float(precise.any(axis=1).mean()), float(recalled.any(axis=0).mean())


def _radii(vectors: np.ndarray, k: int) -> np.ndarray:
    """[N] the distance from each vector to its k-th nearest fellow."""
    from scipy.spatial.distance import cdist

    return np.partition(cdist(vectors, vectors), k, axis=1)[:, k]  # place 0 is the vector itself
