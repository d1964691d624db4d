"""What a run waits for its checkpoints, at the default interval: in the loop, and for the last one at its end.

    python benchmarks/checkpoint_cost.py [--steps N] [CONFIG ...]

Whole `jaxgen train` processes, one after another, of the five families' digits. The seconds are those that the runs
tell themselves by cause (`spent` in timing.jsonl): a save is waited for while the state is copied to the host and the
save before it ends; the last one until it is on the disk, once a run. One JSON object a line, then a Markdown table;
the exit code is 1 where a run waits in its loop more than `GOAL` of the time that it trains.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import results

from jaxgen.experiment import Every
from jaxgen.training.goodput import Cause

CONFIGS = tuple(f"configs/{family}/digits.py" for family in ("rnn", "transformer", "gan", "vae", "diffusion"))
GOAL = 0.02


def measured(config: str, steps: int | None) -> dict:
    """Train so many steps, or the config's own number, in a fresh folder, and read what was waited for."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"every.checkpoint={Every().checkpoint}", *([f"steps={steps}"] if steps else [])]
        command = ["train", "--config", config, "--workdir", folder, "--set", *settings]
        load = os.getloadavg()[0]
        subprocess.run([sys.executable, "-m", "jaxgen.cli", *command], check=True, stderr=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (Path(folder) / "timing.jsonl").read_text().splitlines()]
        spent = [line["spent"] for line in lines if "spent" in line]
        step = lines[-1]["step"]
        kept = sorted((Path(folder) / "checkpoints").glob("[0-9]*"))
        size = sum(path.stat().st_size for path in kept[-1].rglob("*") if path.is_file())
    return {"config": config, "steps": step, "bytes": size, "load": load, **waited(spent)}


def waited(spent: list[dict[str, float]]) -> dict:
    """Of what a run had spent as each save began, and at its end."""
    seconds = [causes[Cause.CHECKPOINT.value] for causes in spent]
    saves = [after - before for before, after in itertools.pairwise(seconds)]
    training = sum(spent[-1][cause.value] for cause in (Cause.STEP, Cause.DATA))
    return {
        "in_loop_seconds": saves[:-1],
        "last_seconds": saves[-1],
        "training_seconds": training,
        "share": (seconds[-1] - saves[-1]) / training,
        "share_with_the_last": seconds[-1] / training,
    }


def table(rows: list[dict]) -> str:
    """A row a config."""
    names = "config | steps | a save, MB | in the loop, ms, median | the last, ms | training, s | in the loop | in all"
    lines = [f"| {names} |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        in_loop = row["in_loop_seconds"]
        saves = f"{1e3 * statistics.median(in_loop):.0f}, at most {1e3 * max(in_loop):.0f}" if in_loop else "none"
        lines.append(
            f"| {row['config']} | {row['steps']} | {row['bytes'] / 1e6:.2f} | {saves} | "
            f"{1e3 * row['last_seconds']:.0f} | {row['training_seconds']:.1f} | {row['share']:.2%} | "
            f"{row['share_with_the_last']:.2%} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", default=CONFIGS, help="the families' digits, unless named")
    parser.add_argument("--steps", type=int, help="of each run (the config's own)")
    options = parser.parse_args(arguments)
    rows = []
    for config in options.configs:
        rows.append(measured(config, options.steps))
        print(json.dumps(rows[-1]), flush=True)
    told = "; ".join(f"{name} {value}" for name, value in results.here().items())
    print(f"\n{table(rows)}\n\nSeen with {told}; load before a run at most {max(row['load'] for row in rows):.1f}.")
    return int(any(row["share"] > GOAL for row in rows))


if __name__ == "__main__":
    sys.exit(main())
