"""Captions of the user's pictures: `captions.jsonl` files with a line for each, and captions as bytes."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from jaxgen.data.bad import BadExamples
from jaxgen.errors import UserError


def read_captions(files: Iterable[Path], bad: BadExamples) -> tuple[dict[Path, str], int]:
    """Each picture's caption, and how many lines were bad and tolerated."""
    captions: dict[Path, str] = {}
    passed = 0
    for listed in files:
        for place, line in _lines(listed):
            try:
                file, caption = _caption(line, listed.parent)
                if file in captions:
                    raise ValueError(f"it tells of {file.name} once more")
            except ValueError as error:
                bad.refuse(place, str(error))
                passed += 1
            else:
                captions[file] = caption
    return captions, passed


def _lines(listed: Path) -> Iterator[tuple[str, bytes]]:
    try:
        lines = listed.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise UserError(f"{listed} cannot be read ({error.strerror}); mend it, or remove it") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{listed} line {number}", line


def _caption(line: bytes, folder: Path) -> tuple[Path, str]:
    """The picture that a line names, and its caption. ValueError says what is wrong with the line."""
    try:
        match json.loads(line.decode("utf-8")):
            case {"file": str(name), "caption": str(caption)}:
                file = folder / name
            case _:
                raise ValueError("another document")
    except ValueError as error:
        wrong = f'it is no {{"file": ..., "caption": ...}} in UTF-8 ({type(error).__name__})'
        raise ValueError(wrong) from None
    if not file.is_file():
        raise ValueError(f"it names {name}, which is not there")
    return file, caption


def as_bytes(caption: str, length: int) -> dict[str, np.ndarray]:
    """`value` [S] int32 and `mask` [S]: the caption's first bytes."""
    first = np.frombuffer(caption.encode("utf-8", "replace")[:length], np.uint8)
    value = np.zeros(length, np.int32)
    value[: len(first)] = first
    return {"value": value, "mask": np.arange(length) < len(first)}
