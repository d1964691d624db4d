"""Fidelity and variety of one set of vectors against another, by nearest neighbours."""
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


def density_coverage(samples: np.ndarray, reference: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage of `samples` [N, D] against `reference` [M, D]: eq. 4 and 5, arXiv 2002.09797.

    Around each reference vector lies a ball that reaches to its k-th nearest fellow. Density is how many balls a sample
    lies in, over k: about 1 for real examples, more where samples crowd around the likeliest ones. Coverage is the
    fraction of balls that hold a sample; of real examples it is 1 - 2^-k at equal counts (0.97 for k = 5). One
    outlying example widens neither, as it does precision and recall. TooFew when there is no k-th neighbour.
    """
    from scipy.spatial.distance import cdist

    if len(reference) <= k or not len(samples):
        raise TooFew(f"density and coverage need more than {k} held-out examples and a sample: {len(reference)}")
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    inside = cdist(samples, reference) <= _radii(reference, k)[None, :]  # [N, M]
    return float(inside.sum(axis=1).mean() / k), float(inside.any(axis=0).mean())


def _radii(vectors: np.ndarray, k: int) -> np.ndarray:
    """[N] the distance from each vector to its k-th nearest fellow."""
    from scipy.spatial.distance import cdist

    return np.partition(cdist(vectors, vectors), k, axis=1)[:, k]  # place 0 is the vector itself
