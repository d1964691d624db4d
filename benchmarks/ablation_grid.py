"""A grid of rates and seeds by `jaxgen ablate` in one process, beside a process for each member's training and figures.

    python benchmarks/ablation_grid.py [--members 32]

Whole processes, from spawn on, each side with an empty folder for compiled programs; half of the single runs come
before the grid and half behind it. A small RNN takes 100 steps on Python's documentation. One JSON object, with how
often the grid's process compiled a training program.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

JAXGEN = [sys.executable, "-m", "jaxgen.cli"]
SMALL = (
    *("task.network.width=64", "data.batch_size=16", "data.length=64", "evaluate.examples=64"),
    *("every.log=50", "every.evaluate=100", "every.sample=100", "every.checkpoint=100", "steps=100"),
)
RATES, SEEDS = (1e-3, 3e-3, 1e-2, 3e-2), 8
PEAK = "optimisers.likelihood.learning_rate.peak"
FILE = """from jaxgen.ablation import Ablation, Metric
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment


def ablation() -> Ablation:
    base = set_fields(load_experiment("rnn/python_docs", Experiment), {small})
    return Ablation(base, {{"{peak}": {rates}, "seed": range({seeds})}}, (Metric("bits_per_character"),))
"""


def together(folder: Path, rates: Sequence[float], seeds: int) -> tuple[float, int]:
    """Seconds of the whole grid, and how often a training program was compiled."""
    file = folder / "run.py"
    file.write_text(FILE.format(small=SMALL, peak=PEAK, rates=tuple(rates), seeds=seeds))
    seconds, said = _run(folder, "ablate", "--config", file, "--workdir", folder / "grid", "--processes", "1")
    return seconds, said.count("Finished XLA compilation of jit(run)")


def apart(folder: Path, members: Sequence[tuple[float, int]]) -> float:
    """Seconds of these rates and seeds, a training and an evaluation each, one after another."""
    seconds = 0.0
    for rate, seed in members:
        run = folder / f"{rate},{seed}"
        settings = (*SMALL, f"{PEAK}={rate}", f"seed={seed}")
        seconds += _run(folder, "train", "--config", "rnn/python_docs", "--workdir", run, "--set", *settings)[0]
        seconds += _run(folder, "evaluate", "--workdir", run)[0]
    return seconds


def _run(folder: Path, *arguments: str | Path) -> tuple[float, str]:
    """Seconds of the command, and what it said; JAX says what is compiled."""
    began = time.perf_counter()
    kept = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs"), "JAX_LOG_COMPILES": "1"}
    command = [*JAXGEN, *map(str, arguments)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **kept}).stderr
    return time.perf_counter() - began, said


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=len(RATES) * SEEDS, help="of the grid, a multiple of 8")
    options = parser.parse_args(arguments)
    rates = RATES[: max(1, options.members // SEEDS)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        members = list(itertools.product(rates, range(SEEDS)))
        middle = len(members) // 2
        each = apart(Path(other), members[:middle])
        whole, compiled = together(Path(one), rates, SEEDS)
        each += apart(Path(other), members[middle:])
    row = {"members": len(rates) * SEEDS, "ablate_seconds": whole, "apart_seconds": each, "share": whole / each}
    print(json.dumps(row | {"training_programs_compiled": compiled}))


if __name__ == "__main__":
    main()
