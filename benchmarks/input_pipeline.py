"""What a run waits for its data, and how fast pictures are read from disk beside a bare Grain loop and PyTorch.

    python benchmarks/input_pipeline.py [--sets mnist cifar10] [--data-dir DIR] [--steps 600] [--blocks 5]

First whole `jaxgen train` processes: a small VAE on each set, its pictures in the device's memory, in the host's, and
read from disk by Grain; told is the share of the loop's time that it waits for batches. Then a race: so many pictures
of the set's training split, decoded and batched on the host, by our feed (threads, then two processes), by a bare Grain
loop over the same reader, and by PyTorch's DataLoader with two workers. Before it is timed
each contestant reads the split once, and all must have found the same pictures and labels.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from peers import of_torch
from results import ended, here, parser, positive, race, report

from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.data.streams import StreamedExamples
from jaxgen.environment import set_up_jax
from jaxgen.timing.contest import Contestant, Row, Work
from jaxgen.training.goodput import Cause

BATCH = 64
READ = 4096  # pictures of the race, once through
BACKLOG = 64  # batches: more than any contestant has read ahead while others were timed
SMALL = ("task.encoder.width=64", "task.decoder.width=64", "task.importance_samples=1", "every.sample=100000")


def waited(name: str, residence: Residence, steps: int, data_dir: str | None) -> dict[str, Any]:
    """Train so long, and the share of the loop's time that was spent waiting for batches."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [*SMALL, f"data.name={name}", f"data.batch_size={BATCH}", f"data.residence={residence.name}"]
        settings += [f"steps={steps}", "data.test=test[:256]", "every.evaluate=100000", "every.checkpoint=100000"]
        settings += [f"data.data_dir={data_dir}"] if data_dir else []
        command = [sys.executable, "-m", "jaxgen.cli", "train", "--config", "vae/digits", "--workdir", folder, "--set"]
        subprocess.run([*command, *settings], check=True, stderr=subprocess.DEVNULL)
        summary = json.loads((Path(folder) / "summary.json").read_text())
    spent = summary["spent"]
    loop = spent[Cause.DATA.value] + spent[Cause.STEP.value]
    return {
        "set": name,
        "residence": residence.value,
        "steps": steps,
        "examples_per_second": summary["examples_per_second"],
        "data_wait_share": spent[Cause.DATA.value] / loop,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| set | its pictures | training, examples/s | waiting for data |", "|---|---|---|---|"]
    for row in rows:
        rate, share = f"{row['examples_per_second']:,.0f}", f"{row['data_wait_share']:.2%}"
        lines.append(f"| {row['set']} | {row['residence']} | {rate} | {share} |")
    return "\n".join(lines)


def reading_row(name: str, data_dir: str | None, blocks: int) -> Row:
    """Pictures a second from disk; a step of the harness is one batch."""
    data = Pictures(name=name, batch_size=BATCH, train=f"train[:{READ}]", data_dir=data_dir)
    examples, key = data.examples("train"), jax.random.key(0)

    def ours(workers: int) -> Iterator[dict[str, np.ndarray]]:
        return iter(StreamedExamples(examples, data.spec(), BATCH, workers).stream(key, 0, np.arange(BATCH)))

    contestants = [
        contestant("jaxgen, threads", lambda: ours(0)),
        contestant("jaxgen, 2 processes", lambda: ours(2)),
        contestant("a bare Grain loop, threads", lambda: bare(examples)),
    ]
    contestants += of_torch(lambda: [contestant("PyTorch's DataLoader, 2 workers", lambda: by_torch(examples))])
    note = f"a step is a batch of {BATCH}, read, decoded and put together; nothing is sent to a device"
    return race(f"{name} from disk", contestants, blocks, notes=(note,))


def contestant(name: str, begin) -> Contestant:
    def prepare(compiling) -> Work:
        batches = begin()
        seen = [next(batches) for _ in range(READ // BATCH)]
        labels = np.concatenate([np.asarray(batch["given"]["class"]["value"]) for batch in seen])
        pixels = sum(np.asarray(batch["made"]["value"]).astype(np.float64).sum() for batch in seen)
        results = {"pixels": pixels, "labels": np.bincount(labels)}
        steps = READ // BATCH

        def read(count: int) -> None:
            for batch in itertools.islice(batches, count):
                assert len(batch["made"]["value"]) == BATCH

        return Work(lambda: read(steps), steps, results, lambda: read(BACKLOG))

    return Contestant(name, prepare)


def bare(examples: Any) -> Iterator[dict[str, np.ndarray]]:
    """Grain's own shuffle and batches over the same reader, a thread a core, eight batches ahead (of its own: 500)."""
    import grain

    dataset = grain.MapDataset.source(examples).shuffle(seed=0).repeat().batch(BATCH)
    reading = grain.ReadOptions(num_threads=os.cpu_count(), prefetch_buffer_size=BACKLOG // 8)
    return iter(dataset.to_iter_dataset(reading))


def by_torch(examples: Any) -> Iterator[dict[str, Any]]:
    """Epoch after epoch of a shuffling DataLoader over the same reader."""
    from torch.utils.data import DataLoader

    loader = DataLoader(examples, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    return itertools.chain.from_iterable(itertools.repeat(loader))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 5)
    asked.add_argument("--steps", type=positive, default=600, help="of each training run (%(default)s)")
    asked.add_argument("--sets", nargs="+", default=["mnist", "cifar10"], help="prepared by TFDS (%(default)s)")
    asked.add_argument("--data-dir", help="TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default")
    options = asked.parse_args(arguments)
    set_up_jax()
    rows = []
    for name in options.sets:
        for residence in (Residence.DEVICE, Residence.HOST, Residence.DISK):
            rows.append(waited(name, residence, options.steps, options.data_dir))
            print(json.dumps(rows[-1] | here()), flush=True)
    print("\n" + table(rows) + "\n", flush=True)
    rows = [functools.partial(reading_row, name, options.data_dir, options.blocks) for name in options.sets]
    return report(rows, options)


if __name__ == "__main__":
    ended(main)
