"""Text files of the user's: UTF-8, gzipped or not; a line that is none is named, or tolerated and left out."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import os
import zlib
from collections.abc import Iterator

from jaxgen.data.bad import BadExamples
from jaxgen.errors import UserError


def read_text(path: str, field: str, bad: BadExamples) -> str:
    """The text of a file that the user names by `field`; line breaks of any system are `\\n`."""
    raw = _read(path, field)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        kept = (line for _, line in decoded_lines(path, raw.splitlines(keepends=True), bad) if line is not None)
        text = "".join(kept)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{field}: {path} is empty; name a file with text in it")
    return text


def read_lines(path: str, field: str) -> list[bytes]:
    """The lines of a file that the user names by `field`, undecoded: without their breaks."""
    raw = _read(path, field)
    return [line.removesuffix(b"\r") for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []


def decoded_lines(path: str, lines: list[bytes], bad: BadExamples) -> Iterator[tuple[str, str | None]]:
    """(place, text) of each line; None where the line is no UTF-8 and that is tolerated."""
    for number, line in enumerate(lines, start=1):
        place = f"{path} line {number}"
        try:
            yield place, line.decode("utf-8")
        except UnicodeDecodeError as error:
            bad.refuse(place, f"byte {error.start + 1} is no UTF-8")
            yield place, None


def _read(path: str, field: str) -> bytes:
    if not os.path.isfile(path):
        raise UserError(f"{field} is {path!r}, and there is no such file; name one")
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{field}: {path} cannot be read ({error}); mend it, or name another file") from None
