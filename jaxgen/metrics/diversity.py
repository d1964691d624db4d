"""Variety within a class: whether a generator draws many examples of it, or one over and over."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.unmeasured import TooFew


def diversity(samples: np.ndarray, classes: np.ndarray, reference: np.ndarray, reference_classes: np.ndarray) -> float:
    """How far `samples` [N, D] of a class lie apart on average, over how far the `reference` [M, D] of that class do.

    1 is the reference's own variety, 0 is all alike. Classes weigh by their samples; one with fewer than two samples or
    two different reference vectors is left out. TooFew when no class remains.
    """
    ratios, weights = [], []
    for label in np.unique(classes):
        own, others = samples[classes == label], reference[reference_classes == label]
        if min(len(own), len(others)) > 1 and (variety := _mean_distance(others)) > 0:
            ratios.append(_mean_distance(own) / variety)
            weights.append(len(own))
    if not weights:
        raise TooFew("diversity needs a class with two samples and two different held-out examples")
    return float(np.average(ratios, weights=weights))


def _mean_distance(vectors: np.ndarray) -> float:
    """Over all pairs of two different rows."""
    from scipy.spatial.distance import pdist

    return float(pdist(np.asarray(vectors, np.float64)).mean())
