"""The sets that come with pip packages alone: handwritten digits, and the text of Python's own documentation."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

Examples = Mapping[str, Any]  # "given" and "made" [N, ...]
_HELD_OUT = 360  # of the 1,797 digits


@functools.cache
def digits() -> dict[str, Examples]:
    """1,437 and 360 handwritten digits, [8, 8, 1] uint8 levels 0..16, and their classes 0..9.

    From scikit-learn's `load_digits` (the test half of UCI's optical digits); split by one fixed permutation.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    image = pixels.reshape(-1, 8, 8, 1).astype(np.uint8)[order]
    label = labels.astype(np.int32)[order]
    split = len(labels) - _HELD_OUT
    return {"train": labelled(image[:split], label[:split]), "test": labelled(image[split:], label[split:])}


def labelled(image: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Pictures [N, H, W, C] given their classes [N]."""
    return {"given": {"class": {"value": label}}, "made": {"value": image}}


@functools.cache
def faded_digits() -> dict[str, Examples]:
    """The same digits as if the ink had faded: levels 0..8 where they were 0..16. Something new to fine-tune to."""
    return {split: {**part, "made": {"value": part["made"]["value"] // 2}} for split, part in digits().items()}


@functools.cache
def python_docs() -> dict[str, str]:
    """English technical text from the standard library's `pydoc_data.topics`; the last tenth is the test split.

    The text differs a little from one Python version to the next (about 465,000 to 800,000 characters).
    """
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    cut = len(text) * 9 // 10
    return {"train": text[:cut], "test": text[cut:]}
