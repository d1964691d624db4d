"""Samples as a person looks at them: pictures as one grid, texts as text."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping

import numpy as np

from jaxgen.reporting.grids import image_grid, levels_to_pixels
from jaxgen.types import Spec

_SHORT_SIDE = 48  # pixels that a picture's side is at least magnified to


def render(
    samples: Mapping[str, np.ndarray], spec: Spec, decode: Callable[[np.ndarray], str] | None
) -> tuple[str, bytes]:
    """(file suffix, content): a PNG, a class a column where there are classes; else the decoded texts."""
    if spec.image is None:
        texts = [decode(tokens) for tokens in np.asarray(samples["tokens"])]
        return "txt", "\n\n――――――――\n\n".join(texts).encode()
    pixels = levels_to_pixels(np.asarray(samples["image"]), spec.levels)
    scale = max(1, -(-_SHORT_SIDE // min(spec.image[:2])))
    wide = columns(len(pixels), spec)
    return "png", image_grid(pixels, wide, scale, _heads(samples.get("label"), wide))


def columns(count: int, spec: Spec) -> int:
    """How many pictures stand side by side."""
    return min(count, spec.classes) if 0 < spec.classes <= 20 else max(1, round(count**0.5))


def _heads(labels: np.ndarray | None, wide: int) -> list[str] | None:
    """The class above each column, where a column is of one class."""
    if labels is None or any(len(set(labels[column::wide].tolist())) > 1 for column in range(wide)):
        return None
    return [str(label) for label in labels[:wide]]
