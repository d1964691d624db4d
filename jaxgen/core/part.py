"""Another run as a part of this one: a reward model, a teacher, a prior, a frozen text encoder.

A `Run` stands in any field of an experiment (of its rewards, its task). Before anything is sized, each is replaced by a
`Part` (running/other_runs.py), which has the other run's task but none of its weights: those are
`Variables.parts[name]`, an argument of every program, which no step changes and no checkpoint of the run holds.
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from jaxgen.core.task import Task
from jaxgen.errors import UserError
from jaxgen.types import Parts, Spec, Variables


@dataclass(frozen=True)
class Run:
    """The run in the folder `path`, with the weights that it shows: its first average where it has one."""

    path: str

    def __post_init__(self):
        if not self.path:
            raise UserError("the path of a Run is empty; name the folder of a run")


@dataclass(frozen=True)
class Part:
    """What a `Run` is replaced by: its task, sized, and what its data give and make. Its weights lie elsewhere."""

    name: str  # in Variables.parts, and of its folder in RUN/parts
    field: str  # of the experiment, with the other run's path: for sentences
    task: Task
    spec: Spec

    @property
    def shapes(self) -> Variables:
        """Of its variables."""
        return jax.eval_shape(self.task.init, jax.random.key(0))


def runs_in(value: Any) -> dict[str, Run]:
    """Every `Run` in an experiment, or in a piece of one, by the dotted path of its field."""
    return {path: found for path, found in _standing_in(value, "") if isinstance(found, Run)}


def parts_in(value: Any) -> dict[str, Part]:
    """Every `Part` in an experiment, or in a piece of one, by its name."""
    return {found.name: found for _, found in _standing_in(value, "") if isinstance(found, Part)}


def part_shapes(value: Any) -> Parts:
    """The shapes of the variables of every `Part` in an experiment, or in a piece of one."""
    return {name: part.shapes for name, part in parts_in(value).items()}


def with_parts(value: Any, parts: Mapping[str, Part], path: str = "") -> Any:
    """`value` with the parts of these dotted paths in the place of their runs; the very same where it holds none."""
    if isinstance(value, Run):
        return parts[path]
    before = _entries(value)
    inside = {name: with_parts(entry, parts, _below(path, name)) for name, entry in before.items()}
    changed = {name: entry for name, entry in inside.items() if entry is not before[name]}
    if not changed:
        return value
    if isinstance(value, tuple | list):
        return type(value)(inside.values())
    if isinstance(value, dict):
        return value | changed
    return dataclasses.replace(value, **changed)


def _standing_in(value: Any, path: str) -> Iterator[tuple[str, Run | Part]]:
    if isinstance(value, Run | Part):
        yield path, value
        return
    for name, entry in _entries(value).items():
        yield from _standing_in(entry, _below(path, name))


def _entries(value: Any) -> dict[str, Any]:
    """What stands in a dataclass's fields, a dict or a sequence, by name; nothing for all else."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        linens_own = ("parent", "name") if isinstance(value, nn.Module) else ()
        names = [field.name for field in dataclasses.fields(value) if field.init and field.name not in linens_own]
        return {name: getattr(value, name) for name in names}
    if isinstance(value, dict):
        return {str(name): entry for name, entry in value.items()}
    return {str(number): entry for number, entry in enumerate(value)} if type(value) in (tuple, list) else {}


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
