"""Directions in noise that sliders move along: those that change pictures the most, or the slowest waves.

For z ~ N(0, I) and a picture x(z) Stein's lemma has

    E[z xᵀ] = E[dx/dz]ᵀ                                                                                             (1)

so that noise and pictures of it give the mean Jacobian without a derivative. Its left singular vectors are the
directions of noise along which pictures change the most, as GANSpace's components are (arXiv 2004.02546).
"""
# SPDX-License-Identifier: Apache-2.0

import itertools
import math

import numpy as np
from jaxtyping import Float, Num

_DIGITS = 5  # of a direction: what rounds otherwise from one process to the next is not seen


def principal_directions(
    noise: Float[np.ndarray, "N Z"], pictures: Num[np.ndarray, "N P"], count: int
) -> Float[np.ndarray, "K Z"]:
    """The first `count` (or Z) of them, of length 1, the one that changes most first; upwards is the brighter side."""
    z, x = np.asarray(noise, np.float64), np.asarray(pictures, np.float64)
    jacobian = z.T @ (x - x.mean(axis=0)) / len(z)  # [Z, P], eq. 1
    _, vectors = np.linalg.eigh(jacobian @ jacobian.T)  # the largest last
    found = vectors[:, ::-1].T[:count]
    brighter = np.where((found @ jacobian).sum(axis=1) < 0, -1.0, 1.0)
    return np.round(brighter[:, None] * found, _DIGITS).astype(np.float32)


def slowest_waves(shape: tuple[int, ...], count: int) -> Float[np.ndarray, "K ..."]:
    """The `count` products of cosines over the axes (DCT-II) that vary least, of length 1: brightness, halves, ...

    Of noise that has a picture's shape and is far larger than any sample of it: the probability flow keeps what varies
    slowly nearly as it is.
    """
    orders = itertools.product(*(range(min(size, count)) for size in shape))
    chosen = sorted(orders, key=lambda order: (sum(k * k for k in order), order))[:count]
    return np.stack([_wave(shape, order) for order in chosen]).astype(np.float32)


def _wave(shape: tuple[int, ...], order: tuple[int, ...]) -> np.ndarray:
    wave = np.ones(())
    for size, k in zip(shape, order, strict=True):
        cosine = np.cos(math.pi * k * (np.arange(size) + 0.5) / size)
        wave = np.multiply.outer(wave, cosine / np.linalg.norm(cosine))
    return wave
