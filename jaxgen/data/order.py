"""The order of an epoch on the host: what `ops/permutation.py` gives inside a program, in numpy, for any process."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import numpy as np

from jaxgen.ops.permutation import ROUNDS
from jaxgen.types import Key


@dataclass(frozen=True)
class EpochOrder:
    """Which example each row of each batch is; holds no JAX array, so that a reading process needs no JAX."""

    seeds: tuple[int, ...]  # of the Feistel rounds
    batch_size: int
    size: int

    @classmethod
    def of(cls, key: Key, batch_size: int, size: int) -> "EpochOrder":
        return cls(tuple(np.asarray(jax.random.bits(key, (ROUNDS,), np.uint32)).tolist()), batch_size, size)

    def positions(self, number: int, rows: np.ndarray) -> np.ndarray:
        """[b] int64: the examples at the global rows `rows` of batch `number`; `ops.permutation.epoch_positions`."""
        place = (number * self.batch_size + rows.astype(np.int64)) & 0xFFFFFFFF
        epoch, position = np.divmod(place.astype(np.uint32), np.uint32(self.size))
        value = self._encrypted(position, epoch)
        while (outside := value >= self.size).any():
            value = np.where(outside, self._encrypted(value, epoch), value)
        return value.astype(np.int64)

    def _encrypted(self, value: np.ndarray, epoch: np.ndarray) -> np.ndarray:
        half = max(1, (max(self.size - 1, 1).bit_length() + 1) // 2)
        mask = np.uint32((1 << half) - 1)
        left, right = value >> np.uint32(half), value & mask
        turn = _mixed(epoch + np.uint32(1))
        for seed in self.seeds:
            left, right = right, left ^ (_mixed(right ^ _mixed(np.uint32(seed) ^ turn)) & mask)
        return (left << np.uint32(half)) | right


def _mixed(value: np.ndarray) -> np.ndarray:
    """MurmurHash3's finaliser, modulo 2^32."""
    value = (value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    value = (value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return value ^ (value >> np.uint32(16))
