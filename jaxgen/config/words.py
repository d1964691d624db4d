"""Words of the command line as values of a field's declared type."""
# SPDX-License-Identifier: Apache-2.0

import collections.abc
import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable
from typing import Any

from jaxgen.config.introspection import is_part
from jaxgen.config.names import dtype_name, find_dtype, find_function, is_function
from jaxgen.errors import UserError

DTYPE = "a dtype such as bfloat16"  # as an arm it stands for every way to annotate and to hold a dtype
SEQUENCES = (tuple, list, collections.abc.Sequence)


def arms(hint: Any, present: Any) -> list[Any]:
    """The types that a field of type `hint` takes: a union's members, and for `Any` or a protocol the present one's."""
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        found = [arm for option in typing.get_args(hint) for arm in arms(option, present)]
        # A word that names no dtype must not pass as a string because flax's Dtype is `str | dtype | ...`.
        return [arm for arm in dict.fromkeys(found) if not (arm is str and DTYPE in found)]
    if origin in SCALARS or origin in SEQUENCES or origin in (types.NoneType, collections.abc.Callable):
        return [hint]
    if _is_enumeration(origin) or dataclasses.is_dataclass(origin):
        return [hint]
    return [DTYPE] if _is_dtype(origin) else _arms_of_present(present)


def coerce(word: str, hint: Any, present: Any) -> Any:
    """`word` as a value of type `hint`, where the field now holds `present`. Raises ValueError when it is none."""
    for arm in sorted(arms(hint, present), key=lambda arm: (arm is not types.NoneType, arm is str)):
        try:
            return _as(word, arm)
        except (ValueError, UserError):  # the next member of the union may take it
            continue
    raise ValueError(word)


def expected(hint: Any, present: Any) -> str:
    """What `coerce` takes, in words: 'a whole number or none', 'one of LSTM, GRU'."""
    found = sorted(arms(hint, present), key=lambda arm: arm is types.NoneType)
    return " or ".join(_described(arm) for arm in found)


def entry_hints(hint: Any, count: int) -> list[Any]:
    """The declared types of a sequence's entries: `count` of them unless the hint fixes another number."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and Ellipsis not in arguments:
        return list(arguments)
    return [arguments[0] if arguments else Any] * count


def _is_enumeration(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, enum.Enum)


def _is_dtype(origin: Any) -> bool:
    import numpy as np  # here, so that `--help` does not wait for it

    return origin is np.dtype


def _arms_of_present(present: Any) -> list[Any]:
    if type(present) in SCALARS or isinstance(present, enum.Enum) or is_part(present):
        return [type(present)]
    if dtype_name(present) is not None:
        return [DTYPE]
    return [Callable] if is_function(present) else []


def _as(word: str, arm: Any) -> Any:
    origin = typing.get_origin(arm) or arm
    if arm is DTYPE:
        return find_dtype(word)
    if origin in SCALARS:
        return SCALARS[origin](word)
    if origin in SEQUENCES:
        return _sequence(word, arm)
    if origin is collections.abc.Callable:
        return find_function(word)
    if origin is types.NoneType and word.casefold() == "none":
        return None
    if _is_enumeration(origin):
        return _member(word, origin)
    raise ValueError(word)


def _boolean(word: str) -> bool:
    truth = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if word.casefold() not in truth:
        raise ValueError(word)
    return truth[word.casefold()]


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        if float(word).is_integer():  # 1e3 counts steps as well as 1000 does
            return int(float(word))
        raise


def _number(word: str) -> float:
    number = float(word)
    if math.isnan(number):  # no field means anything by it, and no comparison would refuse it
        raise ValueError(word)
    return number


def _member(word: str, kind: type[enum.Enum]) -> enum.Enum:
    for member in kind:
        if word.casefold() in (member.name.casefold(), str(member.value).casefold()):
            return member
    raise ValueError(word)


def _sequence(word: str, arm: Any) -> tuple | list:
    """'1,2,3', with or without brackets, by the hints tuple[X, ...], tuple[X, Y], Sequence[X] and list[X]."""
    kind = list if typing.get_origin(arm) is list else tuple
    inner = word.strip().removeprefix("(").removesuffix(")").strip().removesuffix(",")
    words = [entry.strip() for entry in inner.split(",")] if inner else []
    hints = entry_hints(arm, len(words))
    if len(hints) != len(words) or any((typing.get_origin(hint) or hint) in SEQUENCES for hint in hints):
        raise ValueError(word)  # commas alone do not say how a sequence of sequences nests
    return kind(coerce(entry, hint, None) for entry, hint in zip(words, hints, strict=True))


def _described(arm: Any) -> str:
    origin = typing.get_origin(arm) or arm
    if arm is DTYPE:
        return DTYPE
    if origin in SEQUENCES:
        entries = dict.fromkeys(expected(hint, None) for hint in entry_hints(arm, 1))
        count = len(entry_hints(arm, 0)) or "values"  # a hint that fixes the number gives it even when asked for none
        return f"{count} with commas between, each {', '.join(entries)}"
    if origin is collections.abc.Callable:
        return "a function such as jax.nn.gelu"
    if _is_enumeration(origin):
        return "one of " + ", ".join(member.name for member in origin)
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "none"}
    return plain.get(origin) or origin.__name__


SCALARS: dict[type, Callable[[str], Any]] = {bool: _boolean, int: _whole, float: _number, str: str}
