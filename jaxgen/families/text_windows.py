"""Texts longer than the rows that a network was trained on, read in windows of that length (the strided perplexity).

A token is read after those of one window alone, by which the samples of a long text are drawn and its likelihood is
taken: at a place that was never trained, a network's logits are of no use.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen.types import Batch

_AT_A_TIME = 4096  # tokens in the windows of one batch, about: the logits of a batch are this times the vocabulary
_MOST_ROWS = 16


@dataclass(frozen=True)
class Windows:
    """Windows of `length` tokens that begin every `stride` tokens.

    The first window predicts the `length` tokens after the text's first; each later one predicts the `stride` tokens
    behind those, after at least `length - stride + 1` tokens.
    """

    length: int  # T
    stride: int

    @classmethod
    def overlapping(cls, length: int) -> "Windows":
        """Windows of which each shares half with the one before it."""
        return cls(length, max(1, length // 2))

    def beginning(self, place: int) -> int:
        """Where the window begins that predicts the token at `place`, from 1 on."""
        return max(0, -(-(place - self.length) // self.stride)) * self.stride

    def spans(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """(beginning, first place predicted, place after the last) of the windows that predict `first` .. `last`-1."""
        while first < last:
            begin = self.beginning(first)
            stop = min(begin + self.length + 1, last)
            yield begin, first, stop
            first = stop

    def batches(self, made: Mapping[str, np.ndarray], going_on: bool) -> list[Batch]:
        """One text, `value` [1, N], as batches of rows [B, T+1] in their order, all of one shape.

        `mask` is true for the targets that a window predicts. Where the rows are `going_on` each batch is one window,
        "fresh" in the first alone. `bytes` [1, N-1] are cut along.
        """
        size = made["value"].shape[1]
        spans = list(self.spans(1, size))
        begins = np.array([begin for begin, _, _ in spans])[:, None]
        place = begins + np.arange(self.length + 1)  # [n, T+1]
        predicted = place[:, 1:]
        firsts, stops = (np.array([span[which] for span in spans])[:, None] for which in (1, 2))
        inside = np.minimum(place, size - 1)
        arrays = {
            "value": made["value"][0, inside].astype(np.int32),
            "mask": (predicted >= firsts) & (predicted < stops),
        }
        if "bytes" in made:
            arrays["bytes"] = made["bytes"][0, inside[:, 1:] - 1]
        rows = 1 if going_on or len(spans) == 1 else max(1, min(_MOST_ROWS, _AT_A_TIME // self.length))
        return [_batch(arrays, first, rows) for first in range(0, len(spans), rows)]


def given_to(part: Batch, batch: Batch) -> Mapping[str, Any]:
    """What is given for the one example of `batch`, for each row of a part of it."""
    count = len(part["row"])
    return jax.tree.map(lambda array: np.repeat(np.asarray(array), count, axis=0), batch.get("given", {}))


def _batch(arrays: Mapping[str, np.ndarray], first: int, rows: int) -> Batch:
    """Rows `first` to `first + rows`; what fills the last batch has no weight."""
    count = len(arrays["value"])
    place = np.arange(first, first + rows)
    chosen = {name: array[np.minimum(place, count - 1)] for name, array in arrays.items()}
    row = {"row": place.astype(np.int32), "weight": (place < count).astype(np.float32), "fresh": place == 0}
    return {"given": {}, "made": chosen, **row}
