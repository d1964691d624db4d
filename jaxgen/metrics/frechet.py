"""The Frechet distance between two sets of vectors, each seen as a Gaussian."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.unmeasured import TooFew


def frechet_distance(samples: np.ndarray, reference: np.ndarray) -> float:
    """Squared Frechet distance between Gaussians fitted to `samples` [N, D] and `reference` [M, D], in float64.

    The unit is that of the vectors squared. Biased upwards by about 1/N, and by how much depends on the sets
    (arXiv 1911.07023): compare only figures of equal N and M. TooFew for fewer than two vectors a side.
    """
    if min(len(samples), len(reference)) < 2:
        raise TooFew(f"a Frechet distance needs at least 2 examples a side: {len(samples)} against {len(reference)}")
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    if max(len(samples), len(reference)) < samples.shape[1]:
        return _of_few(samples, reference)
    return gaussian_frechet_distance(
        samples.mean(axis=0), _covariance(samples), reference.mean(axis=0), _covariance(reference)
    )


def _of_few(samples: np.ndarray, reference: np.ndarray) -> float:
    """The same of fewer vectors than dimensions, in time with their number squared and not with the dimensions cubed.

    With the centred vectors A [N, D] and B [M, D] over the roots of N - 1 and M - 1, C = Aᵀ A and C_w = Bᵀ B: C C_w has
    the eigenvalues of (A Bᵀ)(A Bᵀ)ᵀ, and Tr (C C_w)^1/2 is the sum of the singular values of A Bᵀ.
    """
    means = samples.mean(axis=0), reference.mean(axis=0)
    A, B = ((one - m) / np.sqrt(len(one) - 1) for one, m in zip((samples, reference), means, strict=True))
    cross = np.linalg.svd(A @ B.T, compute_uv=False).sum()
    distance = np.sum((means[0] - means[1]) ** 2) + np.sum(A**2) + np.sum(B**2) - 2 * cross
    return max(float(distance), 0.0)


def gaussian_frechet_distance(m: np.ndarray, C: np.ndarray, m_w: np.ndarray, C_w: np.ndarray) -> float:
    """Squared Frechet distance of N(m, C) and N(m_w, C_w), means [D], covariances [D, D]: eq. 6, arXiv 1706.08500."""
    # Tr (C C_w)^1/2 is the sum of the singular values of C^1/2 C_w^1/2: no root of a product that rounding has bent.
    cross = np.linalg.svd(_square_root(C) @ _square_root(C_w), compute_uv=False).sum()
    distance = np.sum((m - m_w) ** 2) + np.trace(C) + np.trace(C_w) - 2 * cross  # eq. 6, arXiv 1706.08500
    return max(float(distance), 0.0)  # rounding can leave a set some 1e-16 below zero from itself


def _covariance(vectors: np.ndarray) -> np.ndarray:
    return np.cov(vectors, rowvar=False).reshape(vectors.shape[1], vectors.shape[1])  # cov makes a scalar of D = 1


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root by eigendecomposition."""
    values, vectors = np.linalg.eigh(covariance)
    # What rounding left of a zero, 1e-16, would weigh 1e-8 as a root (digits have pixels that never change).
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    return (vectors * np.sqrt(np.where(values > rounding, values, 0.0))) @ vectors.T
