"""`jaxgen report`: one self-contained page about one run or several."""
# SPDX-License-Identifier: Apache-2.0

import shlex
from collections.abc import Sequence
from pathlib import Path

from jaxgen.reporting.page import write_report
from jaxgen.reporting.run_view import read_run
from jaxgen.running.figures import references_of
from jaxgen.standard_streams import put_out


def report(workdirs: Sequence[str], out: str | None) -> int:
    """Write the page and print its path."""
    runs = [read_run(workdir) for workdir in workdirs]
    path = Path(out) if out is not None else Path(workdirs[0]) / "report.html"
    command = shlex.join(["jaxgen", "report", "--workdir", *workdirs, *(["--out", out] if out else [])])
    write_report(runs, references_of([Path(workdir) for workdir in workdirs]), path, "jaxgen report", command=command)
    put_out(path)
    return 0
