"""`--set task.network.width=64`: named fields of an experiment changed, each word read as the field's declared type."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from jaxgen.config.introspection import below, default_of, described_fields, field_hints, is_part
from jaxgen.config.words import arms, coerce, entry_hints, expected
from jaxgen.errors import UserError, nearest

E = TypeVar("E")


@dataclasses.dataclass
class _Edit:
    """What the settings say about one place: a word for it, words for places inside it, or both."""

    word: str | None = None
    inner: dict[str, "_Edit"] = dataclasses.field(default_factory=dict)

    def settings(self, path: str) -> Iterator[str]:
        """The settings as the user wrote them, for an error to quote."""
        if self.word is not None:
            yield f"{path}={self.word}"
        for name, edit in self.inner.items():
            yield from edit.settings(below(path, name))


def set_fields(experiment: E, settings: Sequence[str]) -> E:
    """A copy of `experiment` with each `FIELD=WORD` done; FIELD walks fields, dict keys and tuple positions by dots.

    All settings are applied together, so that a check between two fields sees both new values, and a union's variant
    can be chosen (`optimiser=Sgd`) along with the fields that it needs (`optimiser.rate=0.1`). Raises UserError.
    """
    edit = _Edit()
    for setting in settings:
        path, equals, word = setting.partition("=")
        if not equals or not path.strip():
            raise UserError(f"--set {setting}: write FIELD=VALUE, such as --set steps=1000")
        place = edit
        for name in path.strip().split("."):
            place = place.inner.setdefault(name, _Edit())
        place.word = word
    return _inside(experiment, type(experiment), edit, "") if settings else experiment


def _changed(value: Any, hint: Any, edit: _Edit, path: str) -> Any:
    """What stands at `path` after the edit, where `value` (or MISSING) stood before."""
    if edit.word is not None:
        variant = _variant(value, hint, edit.word)
        if variant is not None and variant is not type(value):
            return _new(variant, edit, path)
        if variant is None:
            value = _from_word(value, hint, edit.word, path)
    return _inside(value, hint, edit, path) if edit.inner else value


def _variant(value: Any, hint: Any, word: str) -> type | None:
    """The union's dataclass that `word` names."""
    kinds = {kind.__name__.casefold(): kind for kind in _variants(value, hint)}
    return kinds.get(word.strip().casefold())


def _variants(value: Any, hint: Any) -> list[type]:
    """The classes to choose from: the present one, then the others of the union (not their bases, nor Linen's)."""
    own = [type(value)] if is_part(value) else []
    others = [arm for arm in arms(hint, value) if dataclasses.is_dataclass(arm) and not isinstance(value, arm)]
    return own + [kind for kind in others if kind.__module__ != "flax.linen.module"]


def _from_word(value: Any, hint: Any, word: str, path: str) -> Any:
    try:
        return coerce(word, hint, value)
    except ValueError as error:
        if is_part(value):
            names = ", ".join(f"{path}.{name}" for name in described_fields(type(value)))
            others = [kind.__name__ for kind in _variants(value, hint)[1:]]
            choice = f", or choose {' or '.join(others)} in its place" if others else ""
            mend = f"{path} is a whole {type(value).__name__}, not one value; set one of its fields ({names}){choice}"
        elif isinstance(value, dict):
            mend = f"{path} is a group, not one value; set one of its entries ({', '.join(value)})"
        else:
            kinds = expected(hint, value)
            mend = f"{path} takes {kinds}" if kinds else f"{path} has no plain type; change it in the experiment file"
        raise UserError(f"--set {path}={word}: {mend}") from error


def _inside(value: Any, hint: Any, edit: _Edit, path: str) -> Any:
    """A copy of the part, group or sequence `value` with the edits inside it done."""
    if is_part(value):
        present = {name: getattr(value, name) for name in described_fields(type(value))}
        changed = _entries(present, field_hints(type(value)), edit, path)
        return _checked(lambda: dataclasses.replace(value, **changed), edit, path)
    if isinstance(value, dict):
        _, entry = typing.get_args(_container(hint, dict, Mapping)) or (str, Any)
        return value | _entries(value, dict.fromkeys(value, entry), edit, path)
    if isinstance(value, tuple | list):
        present = {str(index): entry for index, entry in enumerate(value)}
        hints = dict(zip(present, entry_hints(_container(hint, tuple, list, Sequence), len(value)), strict=False))
        return type(value)((present | _entries(present, hints, edit, path)).values())
    variants = [kind.__name__ for kind in _variants(value, hint)]
    mend = f"; choose --set {path}={variants[0]} first" if variants else ""
    raise UserError(f"--set {next(edit.settings(path))}: {path} is {_shown(value)} and has no fields{mend}")


def _container(hint: Any, *origins: type) -> Any:
    """The dict or sequence type in `hint`, which may be a union, or Any."""
    return next((arm for arm in (hint, *typing.get_args(hint)) if typing.get_origin(arm) in origins), Any)


def _entries(present: dict[str, Any], hints: dict[str, Any], edit: _Edit, path: str) -> dict[str, Any]:
    """The named entries that the edit changes, with their new values."""
    changed = {}
    for name, inner in edit.inner.items():
        place = below(path, name)
        if name not in present:
            owner = path or "the experiment"
            raise UserError(
                f"--set {next(inner.settings(place))}: {owner} has no field {name!r}{nearest(name, present)}"
            )
        changed[name] = _changed(present[name], hints.get(name, Any), inner, place)
    return changed


def _new(kind: type, edit: _Edit, path: str) -> Any:
    """A part of class `kind` from its defaults and the edits inside it."""
    defaults = {name: default_of(field) for name, field in described_fields(kind).items()}
    values = defaults | _entries(defaults, field_hints(kind), edit, path)
    missing = [name for name, value in values.items() if value is dataclasses.MISSING]
    if missing:
        mend = " ".join(f"--set {path}.{name}=..." for name in missing)
        raise UserError(f"--set {path}={edit.word}: {kind.__name__} needs {', '.join(missing)}; add {mend}")
    return _checked(lambda: kind(**values), edit, path)


def _checked(make: Callable[[], Any], edit: _Edit, path: str) -> Any:
    """`make()`, where a refusal by the part's own checks names the settings that led to it."""
    try:
        return make()
    except (UserError, ValueError, ArithmeticError) as error:  # ArithmeticError: `width % heads` with heads=0
        settings = " ".join(edit.settings(path))
        raise UserError(f"--set {settings}: {path or 'the experiment'} refuses: {error}") from error


def _shown(value: Any) -> str:
    return "not set" if value is dataclasses.MISSING else "none" if value is None else repr(value)
