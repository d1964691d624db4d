"""The contract between a family that can restore damaged pictures and the command that has it done."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Bool, Float

from jaxgen.core.degradation import Degradation
from jaxgen.types import Key, Variables


@dataclass(frozen=True)
class Damaged:
    """A picture in [-1, 1], and what its owner knows of what happened to it; None: it is estimated."""

    picture: Float[np.ndarray, "H W C"]  # C is 1 or 3
    degradation: Degradation
    missing: Bool[np.ndarray, "H W"] | None = None  # true where it shows nothing
    noise: float | None = None  # standard deviation, a part of the range from black to white
    blur: float | None = None  # standard deviation of a Gaussian, pixels
    factor: int | None = None  # of the sides, by super-resolution
    quality: int | None = None  # of JPEG, 1 to 100
    divisors: Float[np.ndarray, "8 8"] | None = None  # of luma, from the JPEG file that it was read from
    chroma: tuple[int, int] = (2, 2)  # rows and columns of the JPEG file that share a value of chroma
    orientation: int = 1  # EXIF's, 1 to 8, by which the JPEG file's picture was turned to this one
    evaluations: int = 25  # of the network, for each restoration


@dataclass(frozen=True)
class Restoration:
    """How one picture is restored: pure functions that call the network once a step, so that a run can stop between.

    Row b of a state draws from keys folded with row[b]; other rows give other restorations of the same picture.
    `arguments` are arrays that the functions take back, so that they are no constants of a compiled program.
    """

    arguments: Any
    rows: int  # of one restoration: the channels, where each is restored by itself
    steps: int
    begin: Callable[[Any, Key, jax.Array], jax.Array]  # (arguments, key, row) -> the first state
    advance: Callable[[Variables, Any, jax.Array, jax.Array, Key, jax.Array], jax.Array]  # (.., state, step, key, row)
    picture: Callable[[jax.Array], jax.Array]  # the last state -> [H, W, C] in [-1, 1]
    found: str  # what was taken to have happened, in words


@runtime_checkable
class Restores(Protocol):
    """A family whose model can serve as the prior of a restoration."""

    def restoration(self, damaged: Damaged) -> Restoration:
        """UserError where this model cannot restore such a picture."""
