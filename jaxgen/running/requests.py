"""What is asked of a sampler: how many examples, and under which labels or prompt."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.errors import UserError
from jaxgen.running.assembly import Assembly
from jaxgen.types import Batch

_ROWS = 8  # of a grid of pictures
_TEXTS = 4


def grid_request(assembly: Assembly) -> tuple[Batch, int]:
    """(given, count) for the samples that a run shows: every class in a column of its own, or a few texts."""
    spec = assembly.spec
    if spec.classes and assembly.experiment.rewards is None:
        return even_labels(_ROWS * min(spec.classes, 20), spec.classes), _ROWS * min(spec.classes, 20)
    return {}, _ROWS * min(spec.classes or _ROWS, 20) if spec.image else _TEXTS


def even_labels(count: int, classes: int) -> Batch:
    """Labels that go round all classes."""
    return {"label": np.arange(count, dtype=np.int32) % classes}


def parse_given(words: list[str], assembly: Assembly, count: int) -> Batch:
    """What the user gives: for labelled data class numbers, repeated to `count`; for text one prompt."""
    spec = assembly.spec
    if not words:
        return even_labels(count, spec.classes) if spec.classes and assembly.experiment.rewards is None else {}
    if spec.classes:
        labels = [label_of(word, spec.classes) for word in words]
        return {"label": np.resize(np.asarray(labels, np.int32), count)}
    if spec.length:
        tokens = assembly.experiment.data.encode(" ".join(words))
        return {"tokens": np.broadcast_to(tokens, (count, len(tokens)))}
    raise UserError("this run's data have no labels and no text; leave --given out")


def label_of(word: str, classes: int, option: str = "--given") -> int:
    """A class number as the user wrote it after `option`."""
    if word.isdecimal() and int(word) < classes:
        return int(word)
    raise UserError(f"{option} {word}: there is no such class; give numbers from 0 to {classes - 1}")
