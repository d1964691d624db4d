"""Random pictures of ten classes as data: for benchmarks, whose time does not depend on what is seen."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jaxgen.core.data import Traced
from jaxgen.data.sources import ResidentExamples
from jaxgen.types import Image, Label, Spec

CLASSES, EXAMPLES = 10, 640


@dataclass(frozen=True)
class RandomPictures:
    """`EXAMPLES` resident pictures [H, W, C] of 256 levels, each with a class, as `Data` (core/data.py)."""

    shape: tuple[int, int, int]
    batch_size: int

    def spec(self) -> Spec:
        return Spec(Image(*self.shape, 256), (("class", Label(CLASSES)),))

    def source(self) -> Traced:
        return ResidentExamples(self.arrays(), self.spec(), self.batch_size)

    def arrays(self) -> dict:
        """The same in every process."""
        draw = np.random.default_rng(0)
        pictures = draw.integers(0, 256, (EXAMPLES, *self.shape)).astype(np.uint8)
        classes = draw.integers(0, CLASSES, EXAMPLES).astype(np.int32)
        return {"given": {"class": {"value": classes}}, "made": {"value": pictures}}

    def evaluation(self, split: str) -> Iterator:
        return iter(())
