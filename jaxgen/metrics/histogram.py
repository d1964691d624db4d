"""The model to beat: every pixel drawn on its own from a histogram of the training pictures."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np

from jaxgen.metrics.likelihood import bits_per_dim
from jaxgen.metrics.unmeasured import TooFew

_NUMBERS = 2**22  # counts, or pixels, that are held at a time


def sample_histogram(
    images: np.ndarray, labels: np.ndarray, wanted: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """A picture of each class in `wanted` [N], its pixels independent draws from that class's histograms.

    `images` [M, ...] with `labels` [M] are what the histograms count. The counts are not smoothed here: smoothing puts
    grey on pixels that are always blank, which would make the model an easier one to beat. TooFew for a class without
    a training picture.
    """
    drawn = np.empty((len(wanted), math.prod(images.shape[1:])), images.dtype)
    at_once = max(1, _NUMBERS // drawn.shape[1])
    for label in np.unique(wanted):
        members = images[labels == label].reshape(-1, drawn.shape[1])
        if not len(members):
            raise TooFew(f"a histogram of class {label} needs a training picture of it, and there is none")
        places = np.flatnonzero(wanted == label)
        for first in range(0, len(places), at_once):
            rows = places[first : first + at_once]
            # The pixel of a member picked anew for every pixel is a draw from the pixel's histogram.
            picks = generator.integers(len(members), size=(len(rows), members.shape[1]))
            drawn[rows] = np.take_along_axis(members, picks, axis=0)
    return drawn.reshape(-1, *images.shape[1:])


def histogram_nats(train: np.ndarray, test: np.ndarray, levels: int) -> np.ndarray:
    """[N] exact negative log-likelihood of `test` [N, ...] under independent pixel histograms of `train` [M, ...].

    Laplace smoothing 1: every level of every pixel counts as seen once more. The histograms of some pixels at a time
    are held, those of a picture of 64x64 in colours and 256 levels in one go.
    """
    pixels = math.prod(test.shape[1:])
    train, test = train.reshape(-1, pixels), test.reshape(-1, pixels)
    nats, at_once = np.zeros(len(test)), max(1, _NUMBERS // levels)
    for first in range(0, pixels, at_once):
        columns = slice(first, first + at_once)
        nats += _nats_of(train[:, columns], test[:, columns], levels)
    return nats


def _nats_of(train: np.ndarray, test: np.ndarray, levels: int) -> np.ndarray:
    """[N] nats of `test` [N, d] under the histograms of `train` [M, d]."""
    pixels = np.arange(test.shape[1])
    counts = np.zeros(len(pixels) * levels)
    at_once = max(1, _NUMBERS // max(1, len(pixels)))
    for first in range(0, len(train), at_once):
        cells = train[first : first + at_once] + pixels * levels
        counts += np.bincount(cells.ravel(), minlength=len(counts))
    counts = counts.reshape(-1, levels) + 1.0  # [d, levels]
    log_probability = np.log(counts / counts.sum(axis=1, keepdims=True))
    return -log_probability[pixels, test].sum(axis=1)


def histogram_bits_per_dim(
    train_images: np.ndarray, train_labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray, levels: int
) -> dict[str, float]:
    """Held-out bits per dimension of one histogram a pixel, and of one a pixel and class given the class.

    A class without a training picture counts by the smoothing alone, log2(levels) bits; TooFew without a test picture.
    """
    if not len(test_images):
        raise TooFew("bits per dimension need a held-out picture, and there is none")
    nats = histogram_nats(train_images, test_images, levels)
    nats_given_class = np.empty(len(test_images))
    for label in np.unique(test_labels):
        rows = test_labels == label
        nats_given_class[rows] = histogram_nats(train_images[train_labels == label], test_images[rows], levels)
    dimensions = math.prod(test_images.shape[1:])
    return {
        "bits_per_dim[unconditional]": float(bits_per_dim(nats.mean(), dimensions)),
        "bits_per_dim[given class]": float(bits_per_dim(nats_given_class.mean(), dimensions)),
    }
