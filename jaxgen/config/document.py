"""experiment.json: an experiment as a strict JSON document, there and back without executing anything it says.

{"type": "jaxgen.families.gan.task.Gan", "fields": {...}}   a frozen dataclass or Linen module
{"type": "jaxgen.ops.noise.Target", "member": "VELOCITY"}   an enumeration's member
{"function": "jax.nn.relu"}  {"dtype": "bfloat16"}  {"float": "inf"}
[...]  a tuple      {"list": [...]}      {"dict": {...}}
{"user": "mnist.py:Judge", "sha256": "...", "fields": {...}}   the user's own, which needs its file to come back
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import enum
import hashlib
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any

from jaxgen.config.introspection import below, default_of, described_fields, is_linen, is_part
from jaxgen.config.names import dtype_name, find_dtype, find_function, find_type, is_function, name_of
from jaxgen.config.reading import MODULE_PREFIX
from jaxgen.errors import UserError, nearest

SHAPES = ({"list"}, {"dict"}, {"float"}, {"dtype"}, {"function"}, {"type", "member"}, {"type", "fields"})


_LEFT_OUT = "left out of experiment.json"
UNWRITTEN = {_LEFT_OUT: True}  # the metadata of a dataclass's field that no document holds


def to_document(experiment: Any) -> dict[str, Any]:
    """`experiment` as a JSON-ready dict, fields in declared order. Raises UserError for what a file cannot hold."""
    return encoded(experiment, "")


def from_document(document: dict[str, Any]) -> Any:
    """The experiment that `to_document` wrote, equal to it; only what `names` allows is looked up or built.

    A field that the document lacks takes its default. Raises UserError for unknown fields, names outside the
    allow-list, malformed documents, and the user's own code (which needs `--config`).
    """
    if not isinstance(document, dict) or not ({"fields", "user"} & set(document)):
        raise UserError("experiment.json does not hold an experiment; pass the experiment file again (--config FILE)")
    try:
        return _decoded(document, "")
    except RecursionError as error:
        raise UserError("experiment.json is nested too deeply to be an experiment") from error


def encoded(value: Any, path: str) -> Any:
    """The JSON-ready form of the value at `path`."""
    if isinstance(value, enum.Enum):
        return _reference(type(value), path) | {"member": value.name}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) in (tuple, list):
        entries = [encoded(entry, below(path, str(index))) for index, entry in enumerate(value)]
        return entries if type(value) is tuple else {"list": entries}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: encoded(entry, below(path, key)) for key, entry in value.items()}}
    if is_part(value):
        return _encoded_part(value, path)
    if (dtype := dtype_name(value)) is not None:
        return {"dtype": dtype}
    if is_function(value):
        return _reference(value, path)
    raise UserError(
        f"{path or 'the experiment'} holds a {type(value).__name__}, which experiment.json cannot: use a frozen "
        "dataclass, Linen module, enumeration, tuple, dict with text as keys, number, text, dtype or named function"
    )


def is_left_out(value: Any, field: dataclasses.Field) -> bool:
    """Whether `value` is the field's default and cannot be written: flax's `lecun_normal()` is a function without name.

    It need not be written either: a field that the document lacks comes back as its default. Nor is one written that
    says so (UNWRITTEN).
    """
    if field.metadata.get(_LEFT_OUT):
        return True
    if value is not field.default:
        return False
    if is_function(value):
        return name_of(value) is None
    try:
        encoded(value, field.name)
    except UserError:  # such as the FrozenDicts that nn.RNN has as defaults
        return True
    return False


def _encoded_part(part: Any, path: str) -> dict[str, Any]:
    kind = type(part)
    if is_linen(kind) and part.name is not None:
        raise UserError(
            f"{path} has Linen's name {part.name!r}, which experiment.json leaves out; build it without name="
        )
    values = {name: (getattr(part, name), field) for name, field in described_fields(kind).items()}
    fields = {
        name: encoded(value, below(path, name))
        for name, (value, field) in values.items()
        if not is_left_out(value, field)
    }
    return _reference(kind, path) | {"fields": fields}


def _reference(thing: Any, path: str) -> dict[str, str]:
    """How the document names a class or function: jaxgen's and the libraries' by name, others by place and source."""
    name = name_of(thing)
    if name is not None:
        return {"type" if isinstance(thing, type) else "function": name}
    place = _file_of(thing.__module__)
    if place == "__main__":
        raise UserError(
            f"{path} holds {thing.__qualname__}, which was written in a notebook or at a prompt, where a run cannot "
            "find it again; write it into a file (in a notebook: %%writefile own.py) and import it from there"
        )
    if "<locals>" in thing.__qualname__ and getattr(inspect.unwrap(thing), "__closure__", None):
        raise UserError(
            f"{path} holds {thing.__qualname__}, a function with values of its own inside, which experiment.json "
            "cannot tell; use a named function, or a frozen dataclass with those values as fields and __call__"
        )
    try:
        source = inspect.getsource(thing)
    except (OSError, TypeError) as error:
        raise UserError(
            f"{path} holds {thing.__qualname__}, whose source cannot be found; write a function of your own"
        ) from error
    return {"user": f"{place}:{thing.__qualname__}", "sha256": hashlib.sha256(source.encode()).hexdigest()}


def _file_of(module: str) -> str:
    """The name of an experiment file or of the script that is run; the module's own name where it is neither.

    The file's name alone: where it lay on this machine is nobody's business.
    """
    script = getattr(sys.modules.get(module), "__file__", None) if module == "__main__" else None
    if script is None and not module.startswith(MODULE_PREFIX):
        return module
    return (script or module).replace("\\", "/").rpartition("/")[2]


def _decoded(document: Any, path: str) -> Any:
    if isinstance(document, dict) and "user" not in document and set(document) not in SHAPES:
        raise _malformed(path)
    match document:
        case None | bool() | int() | float() | str():
            return document
        case list(entries) | {"list": list(entries)}:
            kind = tuple if isinstance(document, list) else list
            return kind(_decoded(entry, below(path, str(index))) for index, entry in enumerate(entries))
        case {"dict": dict(entries)}:
            return {key: _decoded(entry, below(path, key)) for key, entry in entries.items()}
        case {"float": "nan" | "inf" | "-inf" as word}:
            return float(word)
        case {"dtype": str(name)}:
            return _found(find_dtype, name, path)
        case {"function": str(name)}:
            return _found(find_function, name, path)
        case {"type": str(name), "member": str(member)}:
            return _decoded_member(_found(find_type, name, path), member, path)
        case {"type": str(name), "fields": dict(fields)}:
            return _decoded_part(_found(find_type, name, path), fields, path)
        case {"user": str(reference)}:
            mend = "which experiment.json cannot hold; pass the experiment file again (--config FILE)"
            raise UserError(f"{_place(path)} is {reference}, {mend}")
    raise _malformed(path)


def _decoded_member(kind: type, name: str, path: str) -> enum.Enum:
    if not issubclass(kind, enum.Enum):
        raise _malformed(path)
    if name not in kind.__members__:
        raise UserError(f"{_place(path)}: {kind.__name__} has no member {name!r}{nearest(name, kind.__members__)}")
    return kind.__members__[name]


def _decoded_part(kind: type, fields: dict[str, Any], path: str) -> Any:
    described = described_fields(kind) if not issubclass(kind, enum.Enum) else {}
    for name in fields:
        if name not in described:
            hint = nearest(name, described)
            raise UserError(f"{_place(path)}: {kind.__name__} has no field {name!r} in this version of jaxgen{hint}")
    missing = [
        name for name, field in described.items() if name not in fields and default_of(field) is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"{_place(path)}: {kind.__name__} needs {', '.join(missing)}, which the file lacks")
    values = {name: _decoded(entry, below(path, name)) for name, entry in fields.items()}
    try:
        return kind(**values)
    except Exception as error:  # an edited file can put any value anywhere: whatever the class says of it is the answer
        raise UserError(f"{_place(path)}: {kind.__name__} refuses: {error}") from error


def _found(find: Callable[[str], Any], name: str, path: str) -> Any:
    try:
        return find(name)
    except UserError as error:
        raise UserError(f"{_place(path)}: {error}") from error


def _place(path: str) -> str:
    return f"experiment.json, {path}" if path else "experiment.json"


def _malformed(path: str) -> UserError:
    return UserError(f"{_place(path)}: not a value as jaxgen writes it; pass the experiment file again (--config FILE)")
