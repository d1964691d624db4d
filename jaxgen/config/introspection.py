"""What an experiment's parts (frozen dataclasses and Linen modules) are made of: described fields, hints, defaults."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import sys
import typing
from typing import Any


def is_part(value: Any) -> bool:
    """Whether `value` is a dataclass's instance; a Linen module is one too."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def is_linen(kind: type) -> bool:
    """Whether `kind` is a Linen module's class.

    flax is looked up, never imported: a Linen class exists only where flax is loaded already, and importing it
    for an experiment without one would cost a second of start.
    """
    linen = sys.modules.get("flax.linen")
    return linen is not None and issubclass(kind, linen.Module)


def described_fields(kind: type) -> dict[str, dataclasses.Field]:
    """The fields that describe a part, in order: those it is built from, without Linen's `parent` and `name`."""
    hidden = ("parent", "name") if is_linen(kind) else ()
    return {field.name: field for field in dataclasses.fields(kind) if field.init and field.name not in hidden}


def field_hints(kind: type) -> dict[str, Any]:
    """The declared type of every field, strings resolved."""
    try:
        return typing.get_type_hints(kind)
    except NameError:  # flax.linen.RNN annotates with a name that its module does not import
        return {field.name: Any if isinstance(field.type, str) else field.type for field in dataclasses.fields(kind)}


def default_of(field: dataclasses.Field) -> Any:
    """The field's default value, or dataclasses.MISSING."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def below(path: str, name: str) -> str:
    """The dotted path of the field `name` in the part at `path` (the experiment itself is at '')."""
    return f"{path}.{name}" if path else name
