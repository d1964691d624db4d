"""What a word on the command line stands for: an existing file's content, standard input for `-`, or itself."""
# SPDX-License-Identifier: Apache-2.0

import io
import os
import sys
from pathlib import Path
from typing import IO

from jaxgen.errors import UserError


def text_of(word: str) -> str:
    """The text of a file or of standard input, without the line break at its end; else the word itself."""
    if word == "-":
        return _without_break(sys.stdin.read())
    if not os.path.isfile(word):
        return word
    try:
        return _without_break(Path(word).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{word} is no text in UTF-8; give another file") from None
    except OSError as error:
        raise UserError(f"{word} cannot be read ({error.strerror}); give another file") from None


def lines_of(word: str) -> list[tuple[str, str]]:
    """(where it stands, the line) of every line of a file or of standard input; else the word itself, one line."""
    if word != "-" and not os.path.isfile(word):
        return [("the text given", word)]
    name = "standard input" if word == "-" else word
    lines = text_of(word).split("\n")
    return [(f"line {number} of {name}", line.removesuffix("\r")) for number, line in enumerate(lines, 1)]


def file_of(word: str, kind: str) -> Path | IO[bytes]:
    """The file that a word names, or standard input; `kind` says in the error what it should hold."""
    if word == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    if not os.path.isfile(word):
        raise UserError(f"there is no file {word}; give the path of {kind}, or - for standard input")
    return Path(word)


def _without_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")
