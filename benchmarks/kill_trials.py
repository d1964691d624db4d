"""Runs killed at random moments and resumed: every byte of their end is held against a run that nothing disturbed.

    python benchmarks/kill_trials.py [--trials 100] [--seed 0] [--level N] [--folder DIR]

The trials go round the five families, their digits in the device's memory and streamed from the host's, one and four
virtual devices. Each begins a small run, kills it (SIGKILL) at a moment drawn evenly from the undisturbed run's life,
start and end included, or in three rounds of five from what comes after compiling; every third one twice; and lets the
same command end it. Compared are the digests of all parameters, optimisers, averages, keys and the source's state, the
open window of the log, metrics.jsonl and every sample. A JSON line a trial on stdout, then a table; the exit code is 1
when a byte differed. Programs are compiled as users' are, or at LLVM's optimisation level --level, and kept.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import orbax.checkpoint as ocp

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "rnn": ("task.network.width=16",),
    "transformer": ("task.network.width=16", "task.network.blocks=1"),
    "gan": ("task.discriminator.width=64",),
    "vae": ("task.decoder.width=32", "task.importance_samples=4"),
    "diffusion": ("task.network.width=16", "task.network.blocks=1", "task.sampler.steps=2", "task.bound_draws=2"),
}
OFTEN = ("steps=60", "data.batch_size=16", "steps_per_call=3", "every.log=6", "every.evaluate=15", "every.sample=15")
OFTEN += ("every.checkpoint=6", "parallel.data=0")


@dataclass(frozen=True)
class Cell:
    """What is trained, where its data live and on how many devices."""

    family: str
    residence: str
    devices: int
    level: int | None  # of LLVM's optimisation; None is what users have

    def command(self, folder: Path) -> list[str]:
        settings = [*SMALL[self.family], *OFTEN, f"data.residence={self.residence}"]
        what = "--config", f"{self.family}/digits", "--workdir", str(folder)
        return ["-m", "jaxgen.cli", "train", *what, "--set", *settings]

    def begin(self, folder: Path) -> subprocess.Popen:
        flags = f"--xla_force_host_platform_device_count={self.devices}"
        if self.level is not None:
            flags += f" --xla_backend_optimization_level={self.level}"
        environment = os.environ | {"XLA_FLAGS": flags}
        command = [sys.executable, *self.command(folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **quiet)

    def finish(self, folder: Path) -> tuple[float, float]:
        """Run to the end; its seconds, and those of them after it had compiled."""
        began, before = time.perf_counter(), set(_whole_lines(folder / "timing.jsonl"))
        process = self.begin(folder)
        until_compiled(process, folder, before)
        compiled = time.perf_counter()
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(f"{self} ended with {process.returncode}: {said}")
        ended = time.perf_counter()
        return ended - began, ended - compiled


def end_of(run: Path) -> dict[str, object]:
    """All that the law names, by name: digests of every leaf, the log's open window, the log, the samples."""
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager((run / "checkpoints").absolute(), options=options) as manager:
        step = manager.latest_step()
        saved = manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
    files = {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
    log = {"step": step, "window": saved["record"]["window"], "metrics.jsonl": (run / "metrics.jsonl").read_bytes()}
    return log | files | saved["leaves"]


def phase(run: Path, began: float, before: set[str]) -> str:
    """What a process that began then was doing when it was killed, as far as the files tell that it has written.

    `before` are the lines that stood in timing.jsonl; a process adds its first when it has compiled its program.
    """
    folder = run / "checkpoints"
    written = [path for path in folder.iterdir() if path.stat().st_mtime > began] if folder.exists() else []
    if any("tmp" in path.name for path in written):
        return "writing a checkpoint"
    if any(path.name == "60" for path in written):
        return "ending"
    if not has_compiled(run, before):
        return "starting or compiling"
    lines = [json.loads(line) for line in _whole_lines(run / "metrics.jsonl")]
    if lines and lines[-1]["step"] % 15 == 0 and lines[-1]["split"] == "train":
        return "evaluating or sampling"
    return "training"


def has_compiled(run: Path, before: set[str]) -> bool:
    return any("compile_seconds" in line for line in set(_whole_lines(run / "timing.jsonl")) - before)


def until_compiled(process: subprocess.Popen, run: Path, before: set[str]) -> None:
    while process.poll() is None and not has_compiled(run, before):
        time.sleep(0.002)


def _whole_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().split("\n")[:-1] if line] if path.exists() else []


def trial(
    cell: Cell, life: float, late: bool, expected: dict[str, object], folder: Path, chance: random.Random, kills: int
) -> dict:
    """Kill a fresh run so many times, end it, and compare; a `late` kill's `life` begins when it has compiled."""
    killed = []
    for _ in range(kills):
        wait, began, before = chance.uniform(0.0, life), time.time(), set(_whole_lines(folder / "timing.jsonl"))
        process = cell.begin(folder)
        if late:
            until_compiled(process, folder, before)
        try:
            process.wait(wait)
            killed.append("ended before")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed.append(phase(folder, began, before))
        process.communicate()
    cell.finish(folder)
    found = end_of(folder)
    differing = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return {"family": cell.family, "residence": cell.residence, "devices": cell.devices, "killed": killed} | {
        "differing": differing
    }


def table(trials: list[dict]) -> str:
    """A row a cell."""
    rows = defaultdict(list)
    for one in trials:
        rows[one["family"], one["residence"], one["devices"]].append(one)
    lines = ["| family | data | devices | trials | kills, by what the run was doing | trials with differing bytes |"]
    lines.append("|---|---|---|---|---|---|")
    for (family, residence, devices), ones in rows.items():
        kills = Counter(phase for one in ones for phase in one["killed"])
        told = ", ".join(f"{count} {name}" for name, count in kills.most_common())
        differing = sum(bool(one["differing"]) for one in ones)
        lives = "resident" if residence == "DEVICE" else "streamed"
        lines.append(f"| {family} | {lives} | {devices} | {len(ones)} | {told} | {differing} |")
    total = Counter(phase for one in trials for phase in one["killed"])
    told = ", ".join(f"{count} {name}" for name, count in total.most_common())
    lines.append(f"| all | | | {len(trials)} | {told} | {sum(bool(one['differing']) for one in trials)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (%(default)s)")
    parser.add_argument("--level", type=int, help="LLVM's optimisation level (what users have)")
    parser.add_argument("--folder", type=Path, help="where the runs are kept (a temporary folder)")
    options = parser.parse_args(arguments)
    chance, began = random.Random(options.seed), time.perf_counter()
    cells = [Cell(*parts, options.level) for parts in itertools.product(SMALL, ("DEVICE", "HOST"), (1, 4))]
    undisturbed: dict[Cell, tuple[tuple[float, float], dict]] = {}
    done: list[dict] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for number in range(options.trials):
            cell = cells[number % len(cells)]
            if cell not in undisturbed:
                whole = folder / f"{cell.family}-{cell.residence}-{cell.devices}"
                cell.finish(whole / "warm")  # compiles, so that the life of those to come is known
                undisturbed[cell] = cell.finish(whole / "whole"), end_of(whole / "whole")
            kills = 2 if number % 3 == 2 else 1
            (life, work), expected = undisturbed[cell]
            late = number // len(cells) % 2 == 0
            moments = work if late else life, late
            done.append(trial(cell, *moments, expected, folder / f"trial-{number}", chance, kills))
            print(json.dumps({"trial": number, **done[-1]}), flush=True)
            left = (time.perf_counter() - began) / (number + 1) * (options.trials - number - 1)
            print(f"{number + 1} of {options.trials}, {left / 60:.0f} min left", file=sys.stderr, flush=True)
    print("\n" + table(done))
    return int(any(one["differing"] for one in done))


if __name__ == "__main__":
    sys.exit(main())
