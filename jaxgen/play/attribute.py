"""An attribute as a direction: the mean noise of examples that have it, less that of examples that lack it."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxgen.core.task import Sampler
from jaxgen.errors import UserError
from jaxgen.running.edit_examples import attribute_of
from jaxgen.running.editing import LatentEditor
from jaxgen.running.trained import Trained

_DIGITS = 5  # as directions have them


@dataclass(frozen=True)
class Attribute:
    """The words that say which examples have and lack it, and the difference of their noise, an array a level."""

    having: tuple[str, ...]
    lacking: tuple[str, ...]
    levels: tuple[np.ndarray, ...]

    @property
    def name(self) -> str:
        without = f" rather than {', '.join(self.lacking)}" if self.lacking else ""
        return f"{', '.join(self.having)}{without}"


def attribute_from(trained: Trained, own: Sampler, having: Sequence[str], lacking: Sequence[str]) -> Attribute:
    """Learned from pictures that the words name, or from the run's training data. UserError where there are none.

    `own`: the sampler that the run was trained with, whose knobs it is learned under whatever they are set to.
    """
    assembly, words = trained.assembly, (*having, *lacking)
    if assembly.presentation.given and any(map(os.path.isfile, words)):
        raise UserError(
            "--with and --without name pictures, which serve where nothing is given; name classes or words of captions"
        )
    fields = {field.name for field in dataclasses.fields(assembly.task.sampler)}
    knobs = {name: value for name, value in own.knobs().items() if name in fields}
    task = dataclasses.replace(assembly.task, sampler=dataclasses.replace(assembly.task.sampler, **knobs))
    trained = dataclasses.replace(trained, assembly=dataclasses.replace(assembly, task=task))
    sets = attribute_of(trained, having, lacking, [])
    editor = LatentEditor(trained, 0)
    has, lacks = ([level.mean(axis=0) for level in editor.noise(examples)] for examples in sets)
    levels = (np.round(one - other, _DIGITS) for one, other in zip(has, lacks, strict=True))
    return Attribute(_anywhere(having), _anywhere(lacking), tuple(levels))


def _anywhere(words: Sequence[str]) -> tuple[str, ...]:
    """The same in every working folder."""
    return tuple(os.path.abspath(word) if os.path.isfile(word) else word for word in words)
