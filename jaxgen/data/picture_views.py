"""What is shown of a set's pictures: ink or no ink, drawn by their intensities, and with or without what is given."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgen.data.examples import Example, RandomAccess, size_of
from jaxgen.errors import UserError
from jaxgen.types import Spec

_SEED = 1509_00519  # of the stored draw; another one is another test set


def two_levels(spec: Spec, name: str) -> Spec:
    """The spec of a set's pictures as ink and no ink; UserError where they have colours."""
    image = spec.made
    if image.channels != 1:
        raise UserError(
            f"data.binarise draws ink by the intensity of grey pictures, and {name} has {image.channels} channels; "
            "choose a grey set, or leave it out"
        )
    return replace(spec, made=replace(image, levels=2))


def drawn_once(image: np.ndarray, place: int, brightest: int) -> np.ndarray:
    """A picture of levels 0 .. brightest as levels 0 and 1, each pixel 1 with probability level / brightest.

    A function of the picture and of its place in the split alone, in integers: the same on every machine. (The stream
    of NumPy's Philox bit generator is fixed; a remainder of 64 bits is even to 1 in 2^56.)
    """
    raw = np.random.Philox(key=np.array([_SEED, place], np.uint64)).random_raw(image.size)
    return ((raw % np.uint64(brightest)).reshape(image.shape) < image).astype(np.uint8)


def all_drawn_once(arrays: Example, brightest: int) -> dict[str, Any]:
    """A whole split [N, ...] with its pictures drawn so."""
    pictures = arrays["made"]["value"]
    drawn = [drawn_once(pictures[place], place, brightest) for place in range(size_of(arrays))]
    return {**arrays, "made": {**arrays["made"], "value": np.stack(drawn)}}


def ungiven(examples: Example) -> dict[str, Any]:
    """Examples, one or many, of which nothing is given."""
    return {**examples, "given": {}}


@dataclass(frozen=True)
class DrawnOnce:
    """Examples by their place, their pictures drawn so."""

    examples: RandomAccess
    brightest: int

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> Example:
        example = self.examples[place]
        drawn = drawn_once(example["made"]["value"], place, self.brightest)
        return {**example, "made": {**example["made"], "value": drawn}}


@dataclass(frozen=True)
class Ungiven:
    """Examples by their place, of which nothing is given."""

    examples: RandomAccess

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> Example:
        return ungiven(self.examples[place])
