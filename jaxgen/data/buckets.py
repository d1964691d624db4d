"""Examples of several sizes, streamed in batches of a few shapes: the buckets of their sizes."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen.data.examples import chosen_from, size_of
from jaxgen.errors import UserError
from jaxgen.types import Batch, Key, Spec


def check_buckets(buckets: tuple[float, ...], least: float, what: str) -> None:
    """UserError where sizes do not grow, or begin below `least`."""
    if list(buckets) != sorted(set(buckets)) or (buckets and buckets[0] < least):
        raise UserError(f"data.buckets is {buckets}; give {what}, each longer than the one before")


@dataclass(frozen=True)
class BucketedExamples:
    """A streamed source of padded examples: batches of a few shapes, in runs of at most `run` of the same.

    In every epoch each example has its turn once; what fills the last batch of a bucket has no weight. The order of the
    runs, and of the examples in each bucket, is drawn anew from the key for every epoch.
    """

    arrays: tuple[Mapping[str, Any], ...]  # a bucket's each
    spec: Spec
    batch_size: int
    run: int

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def stream(self, state: Key, first: int, rows: np.ndarray) -> Iterator[Batch]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows`."""
        return (self._batch(state, number, rows) for number in itertools.count(first))

    def same_shape_until(self, state: Key, number: int) -> int:
        """The first batch after `number` that may be of another shape."""
        epoch, place = divmod(number, self._batches)
        _, ends, _ = _order(key_words(state), epoch, self._sizes, self.batch_size, self.run)
        return epoch * self._batches + int(ends[np.searchsorted(ends, place, side="right")])

    def _batch(self, state: Key, number: int, rows: np.ndarray) -> dict[str, Any]:
        epoch, place = divmod(number, self._batches)
        runs, ends, orders = _order(key_words(state), epoch, self._sizes, self.batch_size, self.run)
        chosen = int(np.searchsorted(ends, place, side="right"))
        bucket, last = runs[chosen]
        index = (last - (ends[chosen] - place)) * self.batch_size + rows
        size = self._sizes[bucket]
        batch = self._chosen(bucket, orders[bucket][np.minimum(index, size - 1)])
        return batch | {"weight": (index < size).astype(np.float32), "row": rows.astype(np.int32)}

    def _chosen(self, bucket: int, places: np.ndarray) -> dict[str, Any]:
        """The examples of these places of a bucket."""
        return chosen_from(self.arrays[bucket], places)

    @functools.cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(size_of(arrays) for arrays in self.arrays)

    @functools.cached_property
    def _batches(self) -> int:
        """Of an epoch."""
        return sum(-(-size // self.batch_size) for size in self._sizes)


def key_words(key: Key) -> tuple[int, ...]:
    """A key as the integers that numpy's generators are seeded with."""
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


@functools.lru_cache(maxsize=4)
def _order(
    words: tuple[int, ...], epoch: int, sizes: tuple[int, ...], batch_size: int, run: int
) -> tuple[list[tuple[int, int]], np.ndarray, list[np.ndarray]]:
    """An epoch: its runs (their bucket, its first batch after them), where each ends, the examples' orders."""
    draw = np.random.default_rng((*words, epoch))
    runs = []
    for bucket, size in enumerate(sizes):
        count = -(-size // batch_size)
        runs += [(bucket, start, min(start + run, count)) for start in range(0, count, run)]
    runs = [runs[place] for place in draw.permutation(len(runs))]
    ends = np.cumsum([last - start for _, start, last in runs])
    return [(bucket, last) for bucket, _, last in runs], ends, [draw.permutation(size) for size in sizes]
