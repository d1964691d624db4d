"""Text files of the user's, gzipped or not: UTF-8, or what a byte order mark says; a line that is none is named."""
# SPDX-License-Identifier: Apache-2.0

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator

from jaxgen.data.bad import BadExamples
from jaxgen.errors import UserError

_MARKS = (  # byte order marks, the longer first where one begins another
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str, field: str, bad: BadExamples, one_of_several: bool = False) -> str:
    """The text of a file that the user names by `field`; line breaks of any system are `\\n`.

    UserError where there is none in it, unless it is `one_of_several`.
    """
    raw = _read(path, field)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        kept = (line for _, line in decoded_lines(path, raw.splitlines(keepends=True), bad) if line is not None)
        text = "".join(kept)
    text = with_plain_breaks(text)
    if not text.strip() and not one_of_several:
        raise UserError(f"{field}: {path} is empty; name a file with text in it")
    return text


def with_plain_breaks(text: str) -> str:
    """A text whose lines end in `\\n`, whatever system it was written on."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_lines(path: str, field: str) -> list[bytes]:
    """The lines of a file that the user names by `field`, undecoded: without their breaks."""
    raw = _read(path, field)
    return [line.removesuffix(b"\r") for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []


def in_utf8(raw: bytes, place: str) -> bytes:
    """A file's bytes in UTF-8 and without a byte order mark, which is no character; it tells what the others are in.

    UserError where they are in no encoding that they say, or in UTF-16 without saying so.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return raw[len(mark) :] if encoding == "utf-8" else raw.decode(encoding).encode("utf-8")
            except UnicodeError as error:
                raise UserError(
                    f"{place} begins as {encoding.upper()} does and is none ({error}); save it as UTF-8"
                ) from None
    if (zero := raw.find(b"\0")) >= 0:
        raise UserError(
            f"{place}: byte {zero + 1} is 0, so that it is no text, or UTF-16 that does not say so; save it as UTF-8"
        )
    return raw


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
            raw = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{field}: {path} cannot be read ({error}); mend it, or name another file") from None
    return in_utf8(raw, path)
