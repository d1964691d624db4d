"""What a word on the command line stands for: an existing file's content, standard input for `-`, or itself."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jaxgen.data.decoder import opened
from jaxgen.data.examples import BadExample
from jaxgen.data.files import in_utf8, with_plain_breaks
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say

_OF_TEXTS = (".txt", ".md", ".gz", ".tsv", ".csv", ".json", ".jsonl")


class PictureForText(UserError):
    """A picture was given where a class or a text is read."""

    def __init__(self, name: str, mend: str = "give one in its place"):
        super().__init__(f"{name} is a picture, and a class or a text is asked for; {mend}")
        self.name = name


def text_of(word: str) -> str:
    """The text of a file or of standard input, without the line break at its end; else the word itself.

    It is read as a training text is: UTF-8 whatever the locale, without a byte order mark, lines ending in `\\n`.
    PictureForText where it is a picture.
    """
    if word != "-" and not _is_file(word):
        return word
    name = name_of(word)
    try:
        raw = sys.stdin.buffer.read() if word == "-" else Path(word).read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); give another file") from None
    try:
        return with_plain_breaks(in_utf8(raw, name).decode("utf-8")).removesuffix("\n")
    except (UserError, UnicodeDecodeError) as error:
        if _is_picture(raw):
            raise PictureForText(name) from None
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} is no text in UTF-8 (byte {error.start + 1} is none); give another file") from None


def _is_picture(raw: bytes) -> bool:
    """Whether a file's bytes can be decoded as a picture; false where Pillow is missing."""
    with contextlib.suppress(BadExample, ModuleNotFoundError), opened(io.BytesIO(raw), None):
        return True
    return False


def lines_of(word: str) -> list[tuple[str, str]]:
    """(where it stands, the line) of every line of a file or of standard input; else the word itself, one line."""
    if word != "-" and not _is_file(word):
        return [("the text given", word)]
    name = name_of(word)
    lines = text_of(word).split("\n")
    return [(f"line {number} of {name}", line) for number, line in enumerate(lines, 1)]


def _is_file(word: str) -> bool:
    """Whether a word names a file. One that looks like a name, but is none, is told: it is taken as a text."""
    if os.path.isdir(word):
        raise UserError(f"{word} is a folder; name its files")
    found = os.path.isfile(word)
    if not found and not any(map(str.isspace, word)) and (os.sep in word or word.lower().endswith(_OF_TEXTS)):
        say(f"there is no file {word}; it is read as a text")
    return found


def file_of(word: str, kind: str) -> Path | IO[bytes]:
    """The file that a word names, or standard input; `kind` says in the error what it should hold."""
    if word == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    if not os.path.isfile(word):
        raise UserError(f"there is no file {word}; give the path of {kind}, or - for standard input")
    return Path(word)


def name_of(word: str) -> str:
    """What the file is called in a sentence."""
    return "standard input" if word == "-" else word


@contextlib.contextmanager
def sound_as_it_comes(word: str) -> Iterator[IO[bytes]]:
    """The wav file that a word names, or standard input, open to be read as it comes."""
    if word == "-":
        yield sys.stdin.buffer
        return
    with open(file_of(word, "a wav file"), "rb") as file:
        yield file


@contextlib.contextmanager
def text_as_it_comes(word: str) -> Iterator[IO[bytes]]:
    """The text file that a word names, or standard input, open to be read as it comes; else the word itself."""
    if word == "-":
        yield sys.stdin.buffer
    elif _is_file(word):
        with open(word, "rb") as file:
            yield file
    else:
        yield io.BytesIO(word.encode())
