"""What the folders under experiments/ are made of: runs trained and measured one after another, and their page."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxgen.atomic_write import write_whole
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.reporting.page import write_report
from jaxgen.reporting.run_view import read_run, results_json
from jaxgen.reporting.terminal import say
from jaxgen.reporting.trial import Trial
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.references import references_of
from jaxgen.running.stopping import Stop
from jaxgen.running.train_run import train_run


def measured(experiment: Experiment, workdir: Path, stop: Stop) -> Path:
    """Train (or finish, or find finished) a run and measure it on the held-out data; its folder."""
    if not stop():
        say(f"training {workdir}")
        train_run(experiment, workdir, stop)
    if not stop():
        print(json.dumps(evaluate_run(workdir, config=experiment, stopped=stop)), flush=True)
    return workdir


def write_page(runs: Sequence[Path], out: Path, title: str, command: str, trials: Sequence[Trial] = ()) -> None:
    """report.html and results.json in `out`; `trials` are what was tried with a run beside."""
    views, references = [read_run(folder) for folder in runs], references_of(runs)
    write_whole(out / "results.json", json.dumps(results_json(views, references), indent=2, allow_nan=False) + "\n")
    write_report(views, references, out / "report.html", title, command=command, trials=trials)
    print(f"Open {out / 'report.html'} in a browser; its figures are in {out / 'results.json'}")


def compared(out: Path, work: Callable[[Stop], None]) -> int:
    """Do the work until it ends or is stopped; the exit code. A user's mistake is told in one sentence."""
    try:
        with Stop() as stop:
            work(stop)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if stop():
        print(f"stopped; {out} holds what is trained, the same command goes on from there", file=sys.stderr)
        return 128 + stop.signal
    return 0
