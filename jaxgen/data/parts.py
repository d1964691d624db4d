"""A split too large to be held at once: its batches in parts of equal shape, each decoded when it is asked for."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

from jaxgen.data.examples import Chosen, RandomAccess, decoded
from jaxgen.data.sources import padded_batches


@dataclass(frozen=True)
class PaddedParts:
    """`padded_batches` of examples on disk, `batches` of them a part; the last part is filled up with weight 0."""

    examples: RandomAccess
    batch_size: int
    batches: int

    def __len__(self) -> int:
        return -(-len(self.examples) // (self.batches * self.batch_size))

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Each array [n, B, ...]; IndexError after the last part."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        first = number * self.batches * self.batch_size
        places = range(first, min(first + self.batches * self.batch_size, len(self.examples)))
        return padded_batches(decoded(Chosen(self.examples, places)), self.batch_size, self.batches, first)
