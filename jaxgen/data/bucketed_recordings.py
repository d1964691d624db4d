"""Recordings and their words in batches that are cut to the buckets of their lengths; nothing is padded before that."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.data.buckets import BucketedExamples
from jaxgen.data.examples import chosen_from
from jaxgen.data.waves import FULL


@dataclass(frozen=True)
class Bucket:
    """Recordings of at most `size` samples, with what is made of each, [n, ...]."""

    samples: Sequence[np.ndarray]  # [N] int16 each; may be mapped from a file
    size: int
    made: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class BucketedRecordings(BucketedExamples):
    """A streamed source whose `arrays` are `Bucket`s: float32 waves are made of a batch alone."""

    arrays: tuple[Bucket, ...]

    def lengths(self) -> Iterator[int]:
        return (len(samples) for bucket in self.arrays for samples in bucket.samples)

    def padding(self) -> float:
        """The fraction of an epoch's samples that are padding."""
        return 1 - sum(self.lengths()) / sum(len(bucket.samples) * bucket.size for bucket in self.arrays)

    def _chosen(self, bucket: int, places: np.ndarray) -> dict[str, Any]:
        of = self.arrays[bucket]
        wave = wave_arrays([of.samples[place] for place in places], of.size)
        return {"given": {"wave": wave}, "made": chosen_from(of.made, places)}

    @functools.cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(bucket.samples) for bucket in self.arrays)


def wave_arrays(waves: Sequence[np.ndarray], size: int) -> dict[str, np.ndarray]:
    """`value` [n, size] float32, zeros behind the end of each of `waves` [N] int16, and `length` [n] int32."""
    value = np.zeros((len(waves), size), np.float32)
    for row, samples in enumerate(waves):
        value[row, : len(samples)] = samples
    value /= np.float32(FULL)
    return {"value": value, "length": np.asarray([len(samples) for samples in waves], np.int32)}
