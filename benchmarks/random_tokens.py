"""Random tokens as data, rows of a text and padded pairs: for benchmarks, whose time does not depend on them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.core.data import Traced
from jaxgen.data.sources import ResidentExamples
from jaxgen.data.targets import target_arrays
from jaxgen.types import Framing, Spec, Tokens

EXAMPLES = 1280


@dataclass(frozen=True)
class RandomRows:
    """`EXAMPLES` resident rows of T + 1 tokens, as `Data` (core/data.py)."""

    batch_size: int
    length: int  # T
    vocabulary: int

    def spec(self) -> Spec:
        return Spec(Tokens(self.length, self.vocabulary))

    def source(self) -> Traced:
        return ResidentExamples(self.arrays(), self.spec(), self.batch_size)

    def arrays(self) -> dict[str, Any]:
        """The same in every process."""
        rows = np.random.default_rng(0).integers(self.vocabulary, size=(EXAMPLES, self.length + 1))
        return {"given": {}, "made": {"value": rows.astype(np.int32)}}

    def evaluation(self, split: str) -> Iterator:
        return iter(())


@dataclass(frozen=True)
class RandomPairs:
    """`EXAMPLES` resident pairs of sentences, padded to `length`, as `Data` (core/data.py).

    Lengths are spread about as Multi30k's are: a median of 13 tokens, a long tail, and the other side's alike.
    """

    batch_size: int
    length: int  # T, and S
    vocabulary: int

    def spec(self) -> Spec:
        source, target = (
            Tokens(self.length, self.vocabulary, framing=framing) for framing in (Framing.SOURCE, Framing.TARGET)
        )
        return Spec(target, (("source", source),))

    def source(self) -> Traced:
        return ResidentExamples(self.arrays(), self.spec(), self.batch_size)

    def arrays(self) -> dict[str, Any]:
        """The same in every process."""
        draw, end = np.random.default_rng(0), self.vocabulary - 1
        sizes = np.exp(draw.normal(np.log(13), 0.3, EXAMPLES)).round()
        given, made = ((sizes + draw.integers(-2, 3, EXAMPLES)).clip(2, self.length - 1).astype(int) for _ in range(2))
        value = draw.integers(end, size=(EXAMPLES, self.length)).astype(np.int32)
        source = {"value": value, "mask": np.arange(self.length) < given[:, None]}
        sentences = [draw.integers(end, size=size) for size in made]
        return {"given": {"source": source}, "made": target_arrays(sentences, self.length, end)}

    def evaluation(self, split: str) -> Iterator:
        return iter(())
