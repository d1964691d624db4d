"""Results beside older ones of the same machine: what has become slower by more than 5 % and more than the noise."""
# SPDX-License-Identifier: Apache-2.0

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import UserError
from jaxgen.timing.ratio import change

ALLOWED = 1.05  # new over old
REFERENCES = Path(__file__).with_name("references")  # a file a kind of machine
MACHINE = ("processor", "cores", "devices")  # what a kind of machine is told by
Results = list[dict[str, Any]]


def read(file: Path, schema: int) -> Results:
    """The lines of a file of results. UserError when it is none, or of another schema."""
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); name a file that --out wrote") from None
    except ValueError:
        raise UserError(f"{file} holds no results, a JSON object a line; name a file that --out wrote") from None
    if not lines or not all(_is_row(line, schema) for line in lines):
        raise UserError(
            f"{file} holds no results of schema {schema}, which is what this jaxgen writes; measure the older version "
            "again with this one's benchmarks"
        )
    return lines


def reference(where: Mapping[str, Any]) -> Path:
    """The results that are kept of this kind of machine; UserError where there are none."""
    kind = "-".join(re.findall("[a-z0-9]+", " ".join(where[name] for name in MACHINE).lower()))
    file = REFERENCES / f"{kind}.jsonl"
    if not file.is_file():
        raise UserError(f"no reference is kept of this kind of machine; put what --out wrote here there, as {file}")
    return file


def _is_row(line: Any, schema: int) -> bool:
    named = ("row", "yardstick", "contestants", *MACHINE)
    return isinstance(line, dict) and line.get("schema") == schema and all(name in line for name in named)


def refuse_another_machine(older: Results, where: Mapping[str, Any], file: Path) -> None:
    """UserError where the older results are of another kind of machine."""
    for name in MACHINE:
        other = next((line[name] for line in older if line[name] != where[name]), None)
        if other is not None:
            raise UserError(
                f"{file} was measured where {name} is {other!r}, and here it is {where[name]!r}; times of two kinds of "
                "machine do not compare: name results of this one"
            )


def slower(older: Results, newer: Results) -> Iterator[str]:
    """A sentence for each contestant that became slower; those that only one side has are left out.

    Where no side has any of the other, a sentence that says so: nothing was found to be as fast as before.
    """
    before, after = (
        {(row["row"], one["name"]): (row, one) for row in rows for one in row["contestants"]}
        for rows in (older, newer)
    )
    shared = [key for key in after if key in before]
    if not shared:
        yield "nothing was compared: the older results hold none of these rows and contestants"
    for row, name in shared:
        ratio, low, high = change(*_in_one_unit(before[row, name], after[row, name]))
        if ratio > ALLOWED and low > 1:
            yield f"{row}, {name}: {ratio:.2f} times as slow as before ({low:.2f} to {high:.2f})"


def _in_one_unit(*sides: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[np.ndarray]:
    """A contestant's seconds on both sides, in units of the same round's yardstick where both have timed one.

    What makes the whole machine slower makes the yardstick slower too, and leaves the ratio as it was.
    """
    seconds = [np.asarray(one["seconds"]) for _, one in sides]
    yardsticks = [np.asarray(row["yardstick"]) for row, _ in sides]
    if all(map(len, yardsticks)):
        return [own / unit for own, unit in zip(seconds, yardsticks, strict=True)]
    return seconds
