"""The protocol of every picture measure: as many pictures as the held-out set has, of the same classes, against it."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.features import LEVELS, FeatureNet
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.histogram import histogram_bits_per_dim, sample_histogram
from jaxgen.metrics.neighbours import precision_recall
from jaxgen.metrics.two_sample import two_sample_accuracy

Measures = dict[str, float]


def picture_measures(
    images: np.ndarray,
    labels: np.ndarray | None,
    reference_images: np.ndarray,
    net: FeatureNet | None,
    levels: int = LEVELS,
) -> Measures:
    """How near candidate `images` [K*N, H, W, C] come to the held-out `reference_images` [N, H, W, C].

    Both are integer levels 0 .. levels-1. The candidates are K draws of N one after another; `labels` [K*N] are the
    classes they were asked for, each draw with the held-out set's own labels. A figure is the mean over the draws; with
    K > 1 `NAME/spread` is the standard deviation between them. The forest behind `two_sample_accuracy`, by far the
    dearest figure, sees the first draw alone. Without a net only pixels are measured. Without labels, of a model that
    cannot be asked for a class, `recognised_fraction` is missing and `classes_drawn` counts whatever the net sees;
    chance in the classes then weighs in as well (real digits: a Frechet distance of 13 in the net, and not 4.6).
    UserError when a count or a level does not fit.
    """
    _check(images, reference_images, levels)
    count = len(reference_images)
    draws = []
    for start in range(0, len(images), count):
        rows = slice(start, start + count)
        asked = None if labels is None else labels[rows]
        draws.append(draw_measures(images[rows], asked, reference_images, net, levels))
    figures = _summary(draws)
    figures["two_sample_accuracy"] = two_sample_accuracy(images[:count], reference_images)
    return figures


def draw_measures(
    images: np.ndarray, labels: np.ndarray | None, reference_images: np.ndarray, net: FeatureNet | None, levels: int
) -> Measures:
    """The figures of one draw [N, H, W, C], all but the forest's."""
    pixels, reference = (levelled.reshape(len(levelled), -1) / (levels - 1) for levelled in (images, reference_images))
    measures = {"frechet_distance[pixels]": frechet_distance(pixels, reference)}
    return measures if net is None else measures | _net_measures(images, labels, reference_images, net)


def reference_rows(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    net: FeatureNet | None,
    seed: int,
    draws: int = 4,
    levels: int = LEVELS,
) -> dict[str, Measures]:
    """The two rows that every model stands between, measured as a model is.

    `real` is the floor: training pictures of the held-out classes. A model that copies them reaches it too, and so
    these measures alone do not tell a good model from one that remembers. `histogram` draws every pixel on its own,
    given the class; it carries its exact held-out bits per dimension. ValueError when the training set has fewer
    pictures of a class than the held-out set.
    """
    generator = np.random.default_rng(seed)
    real = [train_images[_matching(train_labels, test_labels, generator)] for _ in range(draws)]
    labels = np.tile(test_labels, draws)
    drawn = sample_histogram(train_images, train_labels, labels, generator)
    bits = histogram_bits_per_dim(train_images, train_labels, test_images, test_labels, levels)
    return {
        "real": picture_measures(np.concatenate(real), labels, test_images, net, levels),
        "histogram": picture_measures(drawn, labels, test_images, net, levels) | bits,
    }


def _check(images: np.ndarray, reference_images: np.ndarray, levels: int) -> None:
    if len(images) == 0 or len(images) % len(reference_images) != 0:
        raise UserError(
            f"{len(images)} pictures against {len(reference_images)} held-out ones; "
            f"give {len(reference_images)} or a multiple, since the measures depend on the count"
        )
    if not np.issubdtype(images.dtype, np.integer):  # a forest tells any float from a level at once
        raise UserError(f"the pictures are {images.dtype}; round them to integer levels 0 .. {levels - 1} first")
    if images.min() < 0 or images.max() >= levels:
        raise UserError(f"the pictures hold levels {images.min()} .. {images.max()}; give levels 0 .. {levels - 1}")


def _net_measures(
    images: np.ndarray, labels: np.ndarray | None, reference_images: np.ndarray, net: FeatureNet
) -> Measures:
    """Measures of what the net sees in the pictures."""
    features, reference = net.features(images), net.features(reference_images)
    precision, recall = precision_recall(features, reference)
    seen = net.probabilities(images).argmax(axis=1)
    recognised = seen if labels is None else seen[seen == labels]
    measures = {
        f"frechet_distance[{net.name}]": frechet_distance(features, reference),
        f"precision[{net.name}]": precision,
        f"recall[{net.name}]": recall,
        "classes_drawn": float(len(np.unique(recognised))),
    }
    return measures if labels is None else measures | {"recognised_fraction": len(recognised) / len(seen)}


def _summary(draws: list[Measures]) -> Measures:
    """The mean of each figure over the draws, and the standard deviation between them where there are several."""
    figures = {}
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        figures[name] = float(np.mean(values))
        if len(values) > 1:
            figures[f"{name}/spread"] = float(np.std(values, ddof=1))
    return figures


def _matching(labels: np.ndarray, wanted: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[N] places in `labels`, none twice, whose labels are `wanted` [N]."""
    places = np.empty(len(wanted), np.int64)
    for label in np.unique(wanted):
        rows = wanted == label
        places[rows] = generator.choice(np.flatnonzero(labels == label), rows.sum(), replace=False)
    return places
