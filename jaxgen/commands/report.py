"""`jaxgen report`: one self-contained page about one run or several."""
# SPDX-License-Identifier: Apache-2.0

import shlex
from collections.abc import Sequence
from pathlib import Path

from jaxgen.reporting.page import write_report
from jaxgen.reporting.reasons import by_reason
from jaxgen.reporting.run_view import read_run
from jaxgen.reporting.terminal import say
from jaxgen.running.references import references_of


def report(workdirs: Sequence[str], out: str | None) -> int:
    """Write the page and print its path."""
    runs = [read_run(workdir) for workdir in workdirs]
    path = Path(out) if out is not None else Path(workdirs[0]) / "report.html"
    command = shlex.join(["jaxgen", "report", "--workdir", *workdirs, *(["--out", out] if out else [])])
    references = references_of([Path(workdir) for workdir in workdirs])
    for name, row in references.items():
        for sentence in by_reason(row):
            say(f"{name}: {sentence}")
    write_report(runs, references, path, "jaxgen report", command=command)
    print(path)
    return 0
