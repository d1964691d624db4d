"""Texts that are many documents: where one ends and the next begins, and how they are packed into rows."""
# SPDX-License-Identifier: Apache-2.0

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Separated:
    """Documents that lines of exactly this text stand between, as `<|endoftext|>`; an empty one means blank lines."""

    line: str = ""

    def cut(self, text: str) -> tuple[str, ...]:
        """The documents, without the lines between them."""
        documents: list[list[str]] = [[]]
        for line in text.split("\n"):
            if line.strip() == self.line:
                documents.append([])
            else:
                documents[-1].append(line)
        joined = ("\n".join(lines) for lines in documents)
        return tuple(document for document in joined if document.strip())


@dataclass(frozen=True)
class Examples:
    """Each example of a TFDS set, or each file of a folder, is a document."""


def pack(documents: Sequence[np.ndarray], length: int) -> dict[str, Any]:
    """Documents side by side in rows: `value` and `segment` [N, T+1] int32 of length+1 tokens, `mask` [N, T] bool.

    A row's documents are numbered 1, 2, ... by `segment`, 0 is padding. `mask` is true where the next token is of the
    same document, so that no target lies across a border. A document longer than a row is cut so that the last token
    of a part is the first of the next one: every token but a document's first is a target exactly once. The longest
    part first, each goes into the row that it leaves least room in (best fit decreasing): at most one row is less than
    half full, and for many documents there are at most 11/9 as many rows as the fewest possible (Johnson 1974).
    """
    rows: list[list[np.ndarray]] = []
    room: list[tuple[int, int]] = []  # (tokens free, row) of the rows that have some, in order
    for part in sorted(_parts(documents, length + 1), key=len, reverse=True):  # stable: the same rows every time
        place = bisect.bisect_left(room, (len(part), -1))
        free, row = room.pop(place) if place < len(room) else (length + 1, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(part)
        if free - len(part) >= 2:
            bisect.insort(room, (free - len(part), row))
    tokens = np.zeros((len(rows), length + 1), np.int32)
    segment = np.zeros_like(tokens)
    for row, parts in enumerate(rows):
        joined = np.concatenate(parts)
        tokens[row, : len(joined)] = joined
        segment[row, : len(joined)] = np.repeat(np.arange(1, len(parts) + 1), [len(part) for part in parts])
    mask = (segment[:, 1:] == segment[:, :-1]) & (segment[:, 1:] > 0)
    return {"given": {}, "made": {"value": tokens, "segment": segment, "mask": mask}}


def _parts(documents: Sequence[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The documents in pieces of two to `size` tokens, each beginning with the last token of the one before it."""
    for document in documents:
        for start in range(0, max(len(document) - 1, 0), size - 1):
            yield document[start : start + size]
