"""The sets that come with pip packages alone: handwritten digits, and the text of Python's own documentation."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
_HELD_OUT = 360  # of the 1,797 digits


@functools.cache
def digits() -> dict[str, Arrays]:
    """1,437 and 360 handwritten digits: `image` [N, 8, 8, 1] uint8 levels 0..16, `label` [N] int32 0..9.

    From scikit-learn's `load_digits` (the test half of UCI's optical digits); split by one fixed permutation.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    image = pixels.reshape(-1, 8, 8, 1).astype(np.uint8)[order]
    label = labels.astype(np.int32)[order]
    cut = len(labels) - _HELD_OUT
    return {
        "train": {"image": image[:cut], "label": label[:cut]},
        "test": {"image": image[cut:], "label": label[cut:]},
    }


@functools.cache
def faded_digits() -> dict[str, Arrays]:
    """The same digits as if the ink had faded: levels 0..8 where they were 0..16. Something new to fine-tune to."""
    return {split: {**arrays, "image": arrays["image"] // 2} for split, arrays in digits().items()}


@functools.cache
def python_docs() -> dict[str, str]:
    """English technical text from the standard library's `pydoc_data.topics`; the last tenth is the test split.

    The text differs a little from one Python version to the next (about 465,000 to 800,000 characters).
    """
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name].strip() for name in sorted(topics))
    cut = len(text) * 9 // 10
    return {"train": text[:cut], "test": text[cut:]}
