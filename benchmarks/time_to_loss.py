"""From a command to a held-out loss of 1.88 nats on Shakespeare's characters: ours beside nanoGPT's recipe for CPUs.

    jaxgen bench time_to_loss --peer nanogpt=FOLDER [--rounds 3] [--steps 420]

nanoGPT's README trains 0.8 million parameters on 2,000 batches of 12 rows of 64 characters and reaches 1.88. Timed are
whole processes, in turn: imports, compiling (no kept program), training, evaluation. Ours is the shipped
`transformer/tiny_shakespeare`, whose sizes and batches are those, in `--steps` steps, and counts where its loss over
all held-out characters, at its end, is no higher than 1.88; nanoGPT, as it is and compiled, from the first estimate
that is (20 batches of them, every 250 steps), or from its end where none is. Both have the same 90 % to learn from. It
needs the set in TFDS's folder (`tfds build tiny_shakespeare --file_format=array_record`).
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import math
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
import results

from jaxgen.errors import UserError

TARGET = 1.88  # nats a character
CONFIG = "transformer/tiny_shakespeare"
# what nanoGPT's README gives for a machine without a GPU
RECIPE = "--device=cpu --eval_iters=20 --log_interval=100 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4"
RECIPE += " --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"


class Reached(NamedTuple):
    """A run's seconds to the target or to its end, its loss there in nats, and whether that is the target."""

    seconds: float
    loss: float

    @property
    def there(self) -> bool:
        return self.loss <= TARGET


def main(arguments: Sequence[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=sys.argv[0], description=__doc__, formatter_class=raw)
    peers.add_peers(parser, ("nanogpt",))
    parser.add_argument("--rounds", type=results.positive, default=3, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--steps", type=results.positive, default=420, metavar="N", help="of ours (%(default)s)")
    options = parser.parse_args(arguments)
    named = peers.folders(options.peer, {"nanogpt": ("train.py", "config/train_shakespeare_char.py")})
    with tempfile.TemporaryDirectory() as folder:
        ways = {"jaxgen": lambda: ours(Path(folder), options.steps)}
        if named:
            checkout = with_text(named["nanogpt"], Path(folder))
            ways["nanoGPT, eager"] = lambda: nanogpt(checkout, compiled=False)
            ways["nanoGPT, compiled"] = lambda: nanogpt(checkout, compiled=True)
        runs = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, run in ways.items():
                runs[name].append(run())
                print(json.dumps({"contestant": name, **runs[name][-1]._asdict(), **results.here()}), flush=True)
    print("\n| contestant | seconds, median | all | loss there, nats | reached 1.88 |\n|---|---|---|---|---|")
    for name, found in runs.items():
        seconds = [run.seconds for run in found]
        each, losses = (", ".join(f"{value:.{digits}f}" for value in values) for values, digits in told(found))
        reached = sum(run.there for run in found)
        print(f"| {name} | {statistics.median(seconds):.1f} | {each} | {losses} | {reached} of {len(found)} |")
    return int(not all(run.there for run in runs["jaxgen"]))


def told(found: Sequence[Reached]) -> tuple:
    """Seconds and losses, each with the digits to show."""
    return ([run.seconds for run in found], 1), ([run.loss for run in found], 3)


def ours(folder: Path, steps: int) -> Reached:
    """A whole `jaxgen train` that finds no compiled program."""
    run = folder / "run"
    often = [f"every.{what}={steps}" for what in ("evaluate", "sample", "checkpoint")]
    command = (sys.executable, "-m", "jaxgen.cli", "train", "--config", CONFIG, "--workdir", str(run))
    began = time.perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run((*command, "--set", f"steps={steps}", *often), env=environment, check=True)
    seconds = time.perf_counter() - began
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    bits = next(line["bits_per_character"] for line in reversed(lines) if "bits_per_character" in line)
    for made in (run, folder / "cache"):
        shutil.rmtree(made)
    return Reached(seconds, bits * math.log(2))


def with_text(checkout: Path, folder: Path) -> Path:
    """A copy of the checkout with the text where its own script, which loads it from the network, would put it."""
    from jaxgen.config.reading import load_experiment
    from jaxgen.experiment import Experiment

    data = load_experiment(CONFIG, Experiment).data
    train, held_out = ("".join(data.of(split)) for split in ("train", "test"))
    letters = sorted(set(train + held_out))
    number = {letter: place for place, letter in enumerate(letters)}
    copy = folder / "nanogpt"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
    place = copy / "data" / "shakespeare_char"
    for name, text in (("train", train), ("val", held_out)):
        np.array([number[letter] for letter in text], np.uint16).tofile(place / f"{name}.bin")
    meta = {"vocab_size": len(letters), "stoi": number, "itos": dict(enumerate(letters))}
    (place / "meta.pkl").write_bytes(pickle.dumps(meta))
    return copy


def nanogpt(checkout: Path, compiled: bool) -> Reached:
    """Its train.py until an estimate on held-out text is low enough."""
    command = (sys.executable, "train.py", "config/train_shakespeare_char.py", *RECIPE.split(), f"--compile={compiled}")
    began, reached = time.perf_counter(), None
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if (found := re.match(r"step (\d+): .* val loss ([\d.]+)", line)) is not None:
            now = Reached(time.perf_counter() - began, float(found[2]))
            reached = reached if reached is not None and reached.there else now
    if process.wait():
        raise UserError(f"nanoGPT's train.py ended with {process.returncode}; see what it said above")
    return reached


if __name__ == "__main__":
    results.ended(main)
