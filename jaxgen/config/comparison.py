"""What differs between two experiments, a line a field: said when a run folder belongs to another experiment."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxgen.config.document import encoded, is_left_out, to_document
from jaxgen.config.introspection import below, default_of, described_fields
from jaxgen.config.names import find_type

ABSENT = object()


def differences(first: Any, second: Any) -> list[str]:
    """Lines such as 'optimisers.generator.learning_rate: 0.0002 -> 0.001', none when the two are the same experiment.

    Each side is an experiment or a document of one: a document that holds the user's own code cannot be read back,
    but it can be compared. A field that an older document lacks counts as its default.
    """
    sides = [side if isinstance(side, dict) else to_document(side) for side in (first, second)]
    return list(_lines(*sides, ""))


def _lines(first: Any, second: Any, path: str) -> Iterator[str]:
    if first == second:
        return
    (head, entries), (other_head, other_entries) = _entries(first), _entries(second)
    if head is None or head != other_head:
        yield f"{path or 'the experiment'}: {_shown(first)} -> {_shown(second)}"
        return
    if _source(first) != _source(second):
        yield f"{path or 'the experiment'}: the source of {head} has changed"
    for name in dict.fromkeys([*entries, *other_entries]):
        yield from _lines(entries.get(name, ABSENT), other_entries.get(name, ABSENT), below(path, name))


def settings_between(first: Any, second: Any) -> list[str]:
    """What `--set` would be given to make one experiment the other, where it can say that."""
    return list(_settings(to_document(first), to_document(second), ""))


def _settings(first: Any, second: Any, path: str) -> Iterator[str]:
    if first == second:
        return
    (head, entries), (other_head, other_entries) = _entries(first), _entries(second)
    if head is None or head != other_head:
        yield f"{path}={second if isinstance(second, str) else _shown(second)}"
        entries = {}
    for name, entry in other_entries.items():
        yield from _settings(entries.get(name, ABSENT), entry, below(path, name))


def _source(document: Any) -> str | None:
    return document.get("sha256") if isinstance(document, dict) else None


def _entries(document: Any) -> tuple[str | None, dict[str, Any]]:
    """What a document's node is (None where it has no named entries) and its entries."""
    match document:
        case {"type": name, "fields": fields}:
            return name, fields | _defaults(name, fields)
        case {"user": name, "member": member}:
            return f"{name}.{member}", {}
        case {"user": name}:
            return name, document.get("fields", {})
        case {"dict": entries}:
            return "dict", entries
        case list(entries) | {"list": list(entries)} if any(isinstance(entry, dict) for entry in entries):
            return f"{len(entries)} entries", {str(index): entry for index, entry in enumerate(entries)}
    return None, {}


def _defaults(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The defaults, encoded, of the fields that an older version of jaxgen did not write."""
    lacking = [field for field in described_fields(find_type(name)).values() if field.name not in fields]
    defaults = [(field.name, default_of(field)) for field in lacking if not is_left_out(default_of(field), field)]
    return {key: encoded(value, key) for key, value in defaults if value is not dataclasses.MISSING}


def _shown(document: Any) -> str:
    match document:
        case None | bool():
            return str(document).lower()
        case list(entries):
            return "(" + ", ".join(_shown(entry) for entry in entries) + ")"
        case {"list": entries}:
            return "[" + ", ".join(_shown(entry) for entry in entries) + "]"
        case {"type": name, "member": member} | {"user": name, "member": member}:
            return member
        case {"type": name} | {"user": name} | {"function": name} | {"dtype": name} | {"float": name}:
            return name
        case {"dict": entries}:
            return "{" + ", ".join(entries) + "}"
    return "unset" if document is ABSENT else repr(document)
