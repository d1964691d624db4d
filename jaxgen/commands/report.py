"""`jaxgen report`: one self-contained page about one run or several."""
# SPDX-License-Identifier: Apache-2.0

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from jaxgen.errors import UserError
from jaxgen.reporting.page import write_report
from jaxgen.reporting.reasons import by_reason
from jaxgen.reporting.run_view import read_run
from jaxgen.reporting.terminal import say
from jaxgen.running.references import references_of
from jaxgen.standard_streams import put_out


def report(workdirs: Sequence[str], out: str | None) -> int:
    """Write the page and print its path."""
    runs = [read_run(workdir) for workdir in workdirs]
    path = Path(out) if out is not None else Path(workdirs[0]) / "report.html"
    command = shlex.join(["jaxgen", "report", "--workdir", *workdirs, *(["--out", out] if out else [])])
    _refuse_unwritable(path.parent, path)  # before what may take minutes
    references = references_of([Path(workdir) for workdir in workdirs])
    for name, row in references.items():
        for sentence in by_reason(row):
            say(f"{name}: {sentence}")
    try:
        write_report(runs, references, path, "jaxgen report", command=command)
    except OSError as error:
        raise _unwritable(path, error.strerror) from None
    put_out(path)
    return 0


def _refuse_unwritable(folder: Path, path: Path) -> None:
    if not folder.is_dir():
        raise _unwritable(path, f"there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(path, "its folder may only be read")


def _unwritable(path: Path, why: str | None) -> UserError:
    return UserError(f"{path} could not be written ({why}); name another place by --out")
