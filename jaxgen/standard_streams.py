"""Standard input, output and errors of a command, whatever the locale says and whoever reads them."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import io
import os
import sys

from jaxgen.errors import UserError


def use_any_locale() -> None:
    """Characters that a stream's encoding lacks are written as `\\xdf` and the like; what is read is UTF-8.

    So that a sample with an emoji in it ends no command under LC_ALL=C, in a cron job or on an old console.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a notebook or a test has put there
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper) and not sys.stdin.isatty():
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")


def put_out(text: object, end: str = "\n") -> None:
    """Print a result and `end`, at once.

    BrokenPipeError where nobody reads it any more; UserError where it cannot be written, to a full disk for one.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise UserError(f"the output could not be written ({error.strerror}); send it elsewhere") from None


def complain(text: str) -> None:
    """Say to the user what went wrong, where anyone reads it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def drop_output() -> None:
    """Let go of a stdout that nobody reads: what is still unwritten would be told as an error at the very end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
