"""Edits of pictures in a run's latent space, a function each: between them, outputs of one, levels mixed, attributes.

Each gives a table of pictures, a row for each that is edited, and the figures that tell how well the edit works.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from jaxgen.core.interpolation import spherical
from jaxgen.errors import UserError
from jaxgen.metrics.attribute_classifier import attribute_classifier
from jaxgen.metrics.unmeasured import TooFew
from jaxgen.running.editing import LatentEditor, Noise
from jaxgen.types import Batch

_SHOWN = 8  # rows of a table of held-out examples, of which all are measured


@dataclass(frozen=True)
class Edit:
    """`pixels` [R, K, H, W, C] uint8 under K heads, and figures. `sequence`: its rows go on from one to the next."""

    pixels: np.ndarray
    heads: Sequence[str]
    figures: dict[str, float | int | list[float]] = field(default_factory=dict)
    sequence: bool = False

    @property
    def frames(self) -> np.ndarray:
        """[N, T, H, W, C]: the rows beside each other as the columns go by, or all in their order."""
        return self.pixels.reshape(1, -1, *self.pixels.shape[2:]) if self.sequence else self.pixels


def interpolated(editor: LatentEditor, request: Batch, frames: int) -> Edit:
    """From each of the request's rows to the next, in `frames` pictures of equal angles in the noise of every level."""
    anchors = len(request["row"])
    if anchors < 2 or frames < 2:
        raise UserError(f"there are {anchors} pictures and --frames is {frames}; give at least 2 of each")
    noise, segments = editor.noise(request), anchors - 1
    share = np.tile(np.linspace(0, 1, frames, dtype=np.float32), segments)
    first = np.repeat(np.arange(segments), frames)
    between = [jax.device_get(spherical(level[first], level[first + 1], share)) for level in noise]
    samples = editor.decode(request, between, np.where(share < 0.5, first, first + 1))
    return Edit(_table(editor, samples, segments), [f"{one:.2g}" for one in share[:frames]], sequence=True)


def at_temperatures(editor: LatentEditor, request: Batch, temperatures: Sequence[float]) -> Edit:
    """Each row's noise of all levels scaled by each number: 0 is the centre of the prior, 1 the model's own spread."""
    return Edit(_scaled(editor, request, editor.noise(request), temperatures), _heads(temperatures))


def _scaled(editor: LatentEditor, request: Batch, noise: Noise, scales: Sequence[float]) -> np.ndarray:
    each, rows = np.tile(np.float32(scales), len(noise[0])), np.repeat(np.arange(len(noise[0])), len(scales))
    scaled = [level[rows] * each.reshape(-1, *[1] * (level.ndim - 1)) for level in noise]
    return _table(editor, editor.decode(request, scaled, rows), len(noise[0]))


def mixed(editor: LatentEditor, request: Batch, coarse: int | None) -> Edit:
    """Row r, column c: the `coarse` coarsest levels of r's noise (half of them) with the finer ones of c's."""
    noise, count = editor.noise(request), len(request["row"])
    if len(noise) < 2:
        raise UserError("this model's latents have one level, and mixing takes two; give a VAE of several")
    coarse = len(noise) // 2 if coarse is None else coarse
    if not 0 < coarse < len(noise):
        raise UserError(f"--coarse is {coarse} of {len(noise)} levels; give 1 to {len(noise) - 1}")
    down, across = (one.reshape(-1) for one in np.indices((count, count)))
    mixture = [level[down if number < coarse else across] for number, level in enumerate(noise)]
    pixels = _table(editor, editor.decode(request, mixture, down), count)
    heads = [f"fine {number}" for number in range(1, count + 1)]
    return Edit(pixels, heads, {"levels": len(noise), "coarse": coarse})


def outputs_of(editor: LatentEditor, request: Batch, count: int) -> Edit:
    """`count` outputs for each picture of the request, between it and a map of their standard deviation.

    The map is as bright as the standard deviation is large, in parts of the table's largest. `variance_within` is that
    of the outputs of one picture, `variance_between` that of the pictures' mean outputs, both means over pixels in
    squares of the range from black to white.
    """
    if count < 2:
        raise UserError(f"--count is {count}; give at least 2 outputs")
    rows = np.repeat(np.arange(len(request["row"])), count)
    asked = jax.tree.map(lambda array: array[rows], dict(request)) | {"row": np.arange(len(rows), dtype=np.int32)}
    samples = editor.outputs(asked)
    found, given = _table(editor, samples, len(request["row"])), editor.pixels(request)
    unit = found / 255.0
    spread = unit.std(axis=1, ddof=1).mean(axis=-1, keepdims=True)
    maps = np.rint(255 * spread / max(float(spread.max()), 1e-9)).astype(np.uint8)
    figures = {"inputs": len(given), "outputs_of_each": count}
    figures["variance_within"] = float(unit.var(axis=1, ddof=1).mean())
    if len(given) > 1:
        figures["variance_between"] = float(unit.mean(axis=1).var(axis=0, ddof=1).mean())
    figures |= {"largest_spread": float(spread.max())} | _kept_class(editor, request, samples, count)
    shown = np.concatenate([given[:, None], found, np.broadcast_to(maps[:, None], given[:, None].shape)], axis=1)
    return Edit(shown[:_SHOWN], ["input", *map(str, range(1, count + 1)), "spread"], figures)


def with_attribute(
    editor: LatentEditor, request: Batch, having: Batch, lacking: Batch, strengths: Sequence[float]
) -> Edit:
    """Each row's noise plus each strength times the mean difference between the noise of two sets of examples.

    At each strength, 0 first, `classified_as_attribute` is the share of outputs that a classifier of the two sets takes
    for the first, and `attribute_classifier_accuracy` that classifier's own on examples that it has not seen;
    `recognised_as_attribute` the share that the data's classifier takes for the commonest class of `having`;
    `rest_kept` the share of outputs that, less the mean change of all, are nearer to their own input's unedited output
    than to any other's.
    """
    noise, count = editor.noise(request), len(request["row"])
    means = [[level.mean(axis=0) for level in editor.noise(examples)] for examples in (having, lacking)]
    each, rows = np.tile(np.float32([0.0, *strengths]), count), np.repeat(np.arange(count), 1 + len(strengths))
    moved = [
        level[rows] + each.reshape(-1, *[1] * (level.ndim - 1)) * (mean - other)
        for level, mean, other in zip(noise, *means, strict=True)
    ]
    samples = editor.decode(request, moved, rows)
    pixels = _table(editor, samples, count)
    figures = {"inputs": count, "with": len(having["row"]), "without": len(lacking["row"])}
    figures["strengths"] = [0.0, *strengths]
    figures["rest_kept"] = [_kept(pixels[:, 0], pixels[:, place]) for place in range(pixels.shape[1])]
    target, seen = editor.recognised(having), editor.recognised(samples)
    if target is not None and seen is not None:
        of_target = seen.reshape(count, -1) == np.bincount(target).argmax()
        figures["recognised_as_attribute"] = of_target.mean(axis=0).tolist()
    figures |= _classified(editor, samples, having, lacking, count)
    shown = np.concatenate([editor.pixels(request)[:, None], pixels], axis=1)
    return Edit(shown[:_SHOWN], ["input", *_heads([0.0, *strengths])], figures)


def _classified(
    editor: LatentEditor, samples: Batch, having: Batch, lacking: Batch, count: int
) -> dict[str, float | list[float]]:
    """The share of samples at each strength that a classifier takes for `having`; nothing of too few examples."""
    has, lacks = editor.features(having), editor.features(lacking)
    if has is None:
        return {}
    try:
        classifier, accuracy = attribute_classifier(has, lacks)
    except TooFew:
        return {}
    seen = classifier.predict(editor.features(samples)).reshape(count, -1)
    return {"classified_as_attribute": seen.mean(axis=0).tolist(), "attribute_classifier_accuracy": accuracy}


def _kept_class(editor: LatentEditor, request: Batch, samples: Batch, each: int) -> dict[str, float]:
    """The share of `each` outputs of every input that the data's classifier takes for what it takes their input for."""
    own, seen = editor.recognised(request), editor.recognised(samples)
    if own is None:
        return {}
    return {"recognised_as_input": float((seen.reshape(-1, each) == own[:, None]).mean())}


def _kept(before: np.ndarray, after: np.ndarray) -> float:
    """The share of `after` [N, ...], less their mean change, that are nearest to their own `before` in squared error.
    """
    first, second = (one.reshape(len(one), -1).astype(np.float64) for one in (before, after))
    first, second = (one - one.mean(axis=0) for one in (first, second))
    distance = (second**2).sum(axis=1)[:, None] + (first**2).sum(axis=1) - 2 * second @ first.T
    return float((distance.argmin(axis=1) == np.arange(len(first))).mean())


def _table(editor: LatentEditor, samples: Batch, rows: int) -> np.ndarray:
    pixels = editor.pixels(samples)
    return pixels.reshape(rows, -1, *pixels.shape[1:])


def _heads(values: Sequence[float]) -> list[str]:
    return [f"{value:g}" for value in values]


