"""The fields of an experiment.json or environment.json as flat rows, under the very names that `--set` takes."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Iterator, Mapping

ROOT = "experiment"  # the name of the row for the document itself


def rows(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, text) of every leaf, in order. `config/document.py` tells what the document's wrappers mean."""
    if isinstance(value, Mapping):
        kind = value.get("type", value.get("user"))
        if isinstance(value.get("fields"), Mapping):
            yield name or ROOT, str(kind)
            yield from _inner(value["fields"], name)
        elif isinstance(value.get("dict"), Mapping):
            yield from _inner(value["dict"], name)
        elif (leaf := _leaf(value)) is not None:
            yield name, leaf
        else:
            yield from _inner(value, name)
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        yield from _inner({str(place): entry for place, entry in enumerate(value)}, name)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _inner(content: Mapping[str, object], name: str) -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        yield from rows(value, f"{name}.{key}" if name else str(key))


def _leaf(value: Mapping[str, object]) -> str | None:
    """The text of a wrapper that stands for one value: an enumeration's member, function, dtype, number or list."""
    if not value:
        return "{}"
    if "member" in value:
        return str(value["member"])
    if len(value) == 1 and (key := next(iter(value))) in ("function", "dtype", "float", "list"):
        content = value[key]
        return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return None
