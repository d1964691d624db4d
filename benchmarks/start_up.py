"""How long a person waits: for `--help`, for `describe`, and from `train` to the first optimiser step, cold and warm.

    python benchmarks/start_up.py [CONFIG ...]

Whole processes, from spawn on; the median of `ROUNDS`. Cold is with an empty folder for compiled programs, warm with
the folder that the cold run filled. One JSON object a line, then a Markdown table.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
JAXGEN = [sys.executable, "-m", "jaxgen.cli"]
CONFIGS = ("configs/rnn/digits.py", "configs/gan/digits.py")
LARGE = "benchmarks/one_billion.py"  # described alone


def whole(arguments: list[str]) -> float:
    """Seconds of one whole process."""
    began = time.perf_counter()
    subprocess.run([*JAXGEN, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def to_first_step(config: str, cache: str) -> float:
    """Seconds from spawn until the first step's line stands in metrics.jsonl; the run is then ended."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "run" / "metrics.jsonl"
        began = time.perf_counter()
        process = subprocess.Popen(
            [*JAXGEN, "train", "--config", config, "--workdir", str(metrics.parent), "--set", "every.log=1"],
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": cache},
            stderr=subprocess.DEVNULL,
        )
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                raise RuntimeError(f"training {config} ended with {process.returncode} before its first step")
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        process.kill()
        process.wait()
    return seconds


def start(config: str) -> tuple[list[float], list[float]]:
    """(cold, warm) seconds of each round."""
    cold, warm = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(to_first_step(config, cache))
            warm.append(to_first_step(config, cache))
    return cold, warm


def rows(configs: list[str]):
    """(what, seconds of each round), measured as they are asked for."""
    yield "jaxgen --help", [whole(["--help"]) for _ in range(ROUNDS)]
    yield f"jaxgen describe --config {LARGE}", [whole(["describe", "--config", LARGE]) for _ in range(ROUNDS)]
    for config in configs:
        yield f"jaxgen describe --config {config}", [whole(["describe", "--config", config]) for _ in range(ROUNDS)]
        cold, warm = start(config)
        yield f"train {config} to the first step, cold", cold
        yield f"train {config} to the first step, warm", warm


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", default=list(CONFIGS), metavar="CONFIG", help="to describe and to train")
    options = parser.parse_args(arguments)
    table = ["| what | median s | min s | max s |", "|---|---|---|---|"]
    for what, seconds in rows(options.configs):
        median, low, high = statistics.median(seconds), min(seconds), max(seconds)
        print(json.dumps({"what": what, "median_seconds": median, "min_seconds": low, "max_seconds": high}), flush=True)
        table.append(f"| `{what}` | {median:.2f} | {low:.2f} | {high:.2f} |")
    print("\n".join(table))


if __name__ == "__main__":
    main()
