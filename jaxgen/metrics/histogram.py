"""The model to beat: every pixel drawn on its own from a histogram of the training pictures."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.likelihood import bits_per_dim


def sample_histogram(
    images: np.ndarray, labels: np.ndarray, wanted: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """A picture of each class in `wanted` [N], its pixels independent draws from that class's histograms.

    `images` [M, ...] with `labels` [M] are what the histograms count. The counts are not smoothed here: smoothing puts
    grey on pixels that are always blank, which would make the model an easier one to beat.
    """
    drawn = np.empty((len(wanted), images[0].size), images.dtype)
    for label in np.unique(wanted):
        members = images[labels == label].reshape(-1, images[0].size)
        rows = wanted == label
        # The pixel of a member picked anew for every pixel is a draw from the pixel's histogram.
        picks = generator.integers(len(members), size=(rows.sum(), members.shape[1]))
        drawn[rows] = np.take_along_axis(members, picks, axis=0)
    return drawn.reshape(-1, *images.shape[1:])


def histogram_nats(train: np.ndarray, test: np.ndarray, levels: int) -> np.ndarray:
    """[N] exact negative log-likelihood of `test` [N, ...] under independent pixel histograms of `train` [M, ...].

    Laplace smoothing 1: every level of every pixel counts as seen once more.
    """
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    counts = np.stack([(train == level).sum(axis=0) for level in range(levels)], axis=1) + 1.0  # [D, levels]
    log_probability = np.log(counts / counts.sum(axis=1, keepdims=True))
    return -log_probability[np.arange(test.shape[1]), test].sum(axis=1)


def histogram_bits_per_dim(
    train_images: np.ndarray, train_labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray, levels: int
) -> dict[str, float]:
    """Held-out bits per dimension of one histogram a pixel, and of one a pixel and class given the class."""
    nats = histogram_nats(train_images, test_images, levels)
    nats_given_class = np.empty(len(test_images))
    for label in np.unique(test_labels):
        rows = test_labels == label
        nats_given_class[rows] = histogram_nats(train_images[train_labels == label], test_images[rows], levels)
    dimensions = test_images[0].size
    return {
        "bits_per_dim[unconditional]": float(bits_per_dim(nats.mean(), dimensions)),
        "bits_per_dim[given class]": float(bits_per_dim(nats_given_class.mean(), dimensions)),
    }
