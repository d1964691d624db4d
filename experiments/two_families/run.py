"""Trains the RNN and the GAN on the same handwritten digits and puts them side by side on one page.

python experiments/two_families/run.py [--out runs/demo]
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import sys
from pathlib import Path

from jaxgen.environment import set_up_jax

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("configs/rnn/digits.py", "configs/gan/digits.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for runs and page (%(default)s)")
    out = parser.parse_args().out
    set_up_jax()
    from jaxgen.commands.train import Stop
    from jaxgen.errors import UserError

    try:
        with Stop() as stop:
            runs = [trained(config, out, stop) for config in CONFIGS]
            if stop():
                print(f"stopped; {out} holds what is trained, the same command goes on from there", file=sys.stderr)
                return 128 + stop.signal
        page(runs, out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def trained(config: str, out: Path, stop) -> Path:
    """Train (or finish, or find finished) one family and measure it; its run folder."""
    from jaxgen.commands.evaluate import evaluate
    from jaxgen.commands.train import run
    from jaxgen.config.reading import load_experiment
    from jaxgen.experiment import Experiment
    from jaxgen.reporting.terminal import say

    workdir = out / Path(config).parent.name
    if not stop():
        say(f"training {config} in {workdir}")
        run(load_experiment(ROOT / config, Experiment), workdir, stop)
    if not stop():
        evaluate(str(workdir), None, (), "test")
    return workdir


def page(runs: list[Path], out: Path) -> None:
    """report.html and results.json."""
    from jaxgen.files import write_whole
    from jaxgen.reporting.page import write_report
    from jaxgen.reporting.run_view import read_run, results_json
    from jaxgen.running.comparison import references_of

    views, references = [read_run(run) for run in runs], references_of(runs)
    write_whole(out / "results.json", json.dumps(results_json(views, references), indent=2, allow_nan=False) + "\n")
    write_report(views, references, out / "report.html", "Two families, the same digits", command="make demo")
    print(f"Open {out / 'report.html'} in a browser; its figures are in {out / 'results.json'}")


if __name__ == "__main__":
    sys.exit(main())
