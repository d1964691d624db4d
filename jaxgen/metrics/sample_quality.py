"""The protocol of every picture measure: as many pictures as the held-out set has, of the same classes, against it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.features import LEVELS, FeatureNet
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.histogram import histogram_bits_per_dim, sample_histogram
from jaxgen.metrics.kernel_distance import kernel_distance
from jaxgen.metrics.neighbours import density_coverage, precision_recall
from jaxgen.metrics.projection import PROJECTED, is_wide, project
from jaxgen.metrics.psnr import psnr_db
from jaxgen.metrics.two_sample import two_sample_accuracy
from jaxgen.metrics.unmeasured import Figures, TooFew, Unmeasured, measured, none_of

_OF_FEATURES = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")


def picture_measures(
    images: np.ndarray,
    labels: np.ndarray | None,
    reference_images: np.ndarray,
    net: FeatureNet | None,
    levels: int = LEVELS,
    tick: Callable[[], None] = lambda: None,
) -> Figures:
    """How near candidate `images` [K*N, H, W, C] come to the held-out `reference_images` [N, H, W, C].

    Both are integer levels 0 .. levels-1. The candidates are K draws of N one after another; `labels` [K*N] are the
    classes they were asked for, each draw with the held-out set's own labels. A figure is the mean over the draws; with
    K > 1 `NAME/spread` is the standard deviation between them. The forest behind `two_sample_accuracy`, by far the
    dearest figure, sees the first draw alone. Without a net only pixels are measured. Without labels, of a model that
    cannot be asked for a class, `recognised_fraction` is missing and `classes_drawn` counts whatever the net sees;
    chance in the classes then weighs in as well (real digits: a Frechet distance of 13 in the net, and not 4.6).
    Pictures of more than 3,072 pixel values are compared under a fixed projection, which the figures' names tell
    (`project`). A figure that so few pictures cannot give is Unmeasured. `tick` is called after each draw and after the
    forest. UserError when a count or level does not fit.
    """
    count = len(reference_images)
    if count == 0:
        return none_of(figure_names(reference_images, labels, net), "there is no held-out example")
    _check(images, reference_images, levels)
    draws: list[Figures] = []
    for start in range(0, len(images), count):
        rows = slice(start, start + count)
        asked = None if labels is None else labels[rows]
        draws.append(draw_measures(images[rows], asked, reference_images, net, levels))
        tick()
    figures = _summary(draws)
    figures[_forest_name(images)] = measured(lambda: _told_apart(images[:count], reference_images))
    tick()
    return figures


def figure_names(images: np.ndarray, labels: np.ndarray | None, net: FeatureNet | None) -> list[str]:
    """The names of the figures that pictures like `images` [N, H, W, C] get, without their spreads."""
    names = [_distance_name(images), _forest_name(images)]
    if net is not None:
        names += [f"{figure}[{net.name}]" for figure in _OF_FEATURES]
        names += ["classes_drawn", *([] if labels is None else ["recognised_fraction"])]
    return names


def draw_measures(
    images: np.ndarray, labels: np.ndarray | None, reference_images: np.ndarray, net: FeatureNet | None, levels: int
) -> Figures:
    """The figures of one draw [N, H, W, C], all but the forest's."""
    pixels, reference = (_pixels(levelled, levels) for levelled in (images, reference_images))
    measures: Figures = {_distance_name(images): measured(lambda: frechet_distance(pixels, reference))}
    return measures if net is None else measures | _net_measures(images, labels, reference_images, net)


def reconstruction_measures(
    means: np.ndarray, originals: np.ndarray, net: FeatureNet | None, levels: int
) -> Figures:
    """How near pictures that a model made again, `means` [N, H, W, C] in float levels, come to their `originals`.

    The mean over the pictures of each one's PSNR; and the Frechet distance of all, rounded to levels, from all
    originals, which unlike that of samples holds no difference of which examples were drawn.
    """
    if len(originals) == 0:
        return none_of(["reconstruction_psnr_db"], "there is no held-out example")
    images = np.clip(np.rint(means), 0, levels - 1).astype(originals.dtype)
    sets = [(_distance_name(images), lambda pictures: _pixels(pictures, levels))]
    if net is not None:
        sets.append((f"frechet_distance[{net.name}]", net.features))
    distances = {
        f"reconstruction_{name}": measured(lambda of=of: frechet_distance(of(images), of(originals)))
        for name, of in sets
    }
    return {"reconstruction_psnr_db": float(psnr_db(means, originals, levels - 1).mean()), **distances}


def _distance_name(images: np.ndarray) -> str:
    return f"frechet_distance[pixels, {PROJECTED}]" if is_wide(images) else "frechet_distance[pixels]"


def _forest_name(images: np.ndarray) -> str:
    return f"two_sample_accuracy[{PROJECTED}]" if is_wide(images) else "two_sample_accuracy"


def _pixels(images: np.ndarray, levels: int) -> np.ndarray:
    """[N, D] values from 0 to 1, or their projection."""
    return project(images, 1 / (levels - 1)) if is_wide(images) else images.reshape(len(images), -1) / (levels - 1)


def _told_apart(images: np.ndarray, reference_images: np.ndarray) -> float:
    sets = (images, reference_images)
    return two_sample_accuracy(*(map(project, sets) if is_wide(images) else sets))


def reference_rows(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    net: FeatureNet | None,
    seed: int,
    draws: int = 4,
    levels: int = LEVELS,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Figures]:
    """The two rows that every model stands between, measured as a model is.

    `real` is the floor: training pictures of the held-out classes. A model that copies them reaches it too, and so
    these measures alone do not tell a good model from one that remembers. `histogram` draws every pixel on its own,
    given the class; it carries its exact held-out bits per dimension. The figures of a row are Unmeasured when the
    training set has fewer pictures of a class than the held-out set, or none for a histogram. Of pictures without
    classes all labels are one.
    """
    generator = np.random.default_rng(seed)
    labels = np.tile(test_labels, draws)

    def row(pictures: Callable[[], np.ndarray]) -> Figures:
        try:
            return picture_measures(pictures(), labels, test_images, net, levels, tick)
        except TooFew as error:
            return none_of(figure_names(test_images, labels, net), str(error))

    def real() -> np.ndarray:
        return np.concatenate([train_images[_matching(train_labels, test_labels, generator)] for _ in range(draws)])

    rows = {"real": row(real)}
    rows["histogram"] = row(lambda: sample_histogram(train_images, train_labels, labels, generator))
    if len(test_images):
        rows["histogram"] |= histogram_bits_per_dim(train_images, train_labels, test_images, test_labels, levels)
    return rows


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
) -> Figures:
    """Measures of what the net sees in the pictures."""
    features, reference = net.features(images), net.features(reference_images)
    pairs = (_pair_measured(how, features, reference) for how in (precision_recall, density_coverage))
    (precision, recall), (density, coverage) = pairs
    seen = net.probabilities(images).argmax(axis=1)
    recognised = seen if labels is None else seen[seen == labels]
    measures: Figures = {
        f"frechet_distance[{net.name}]": measured(lambda: frechet_distance(features, reference)),
        f"kernel_distance[{net.name}]": measured(lambda: kernel_distance(features, reference)),
        f"precision[{net.name}]": precision,
        f"recall[{net.name}]": recall,
        f"density[{net.name}]": density,
        f"coverage[{net.name}]": coverage,
        "classes_drawn": float(len(np.unique(recognised))),
    }
    return measures if labels is None else measures | {"recognised_fraction": len(recognised) / len(seen)}


def _pair_measured(
    how: Callable[[np.ndarray, np.ndarray], tuple[float, float]], features: np.ndarray, reference: np.ndarray
) -> tuple[float, float] | tuple[Unmeasured, Unmeasured]:
    try:
        return how(features, reference)
    except TooFew as error:
        return Unmeasured(str(error)), Unmeasured(str(error))


def _summary(draws: list[Figures]) -> Figures:
    """The mean of each figure over the draws, and the standard deviation between them where there are several."""
    figures: Figures = {}
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        if isinstance(values[0], Unmeasured):  # the draws are of one size, and so none of them can be measured
            figures[name] = values[0]
            continue
        figures[name] = float(np.mean(values))
        if len(values) > 1:
            figures[f"{name}/spread"] = float(np.std(values, ddof=1))
    return figures


def _matching(labels: np.ndarray, wanted: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[N] places in `labels`, none twice, whose labels are `wanted` [N]; TooFew when there are not so many."""
    places = np.empty(len(wanted), np.int64)
    for label in np.unique(wanted):
        rows, known = wanted == label, np.flatnonzero(labels == label)
        if len(known) < rows.sum():
            raise TooFew(f"there are {len(known)} training and {rows.sum()} held-out pictures of class {label}")
        places[rows] = generator.choice(known, rows.sum(), replace=False)
    return places
