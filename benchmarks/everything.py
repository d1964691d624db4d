"""The whole benchmark by one command: every family's steps, samplers, rollouts and compiling, with all peers.

    jaxgen bench everything --out results.jsonl [--peer nanogpt=FOLDER flax=FOLDER] [--compare reference]

Each benchmark of the list runs in a process of its own, one after another. On two cores of an AMD EPYC (family 26) that
took 29 min 32 s, of which the denoisers took 9 and the token models 5 (benchmarks/README.md).
`results.jsonl` has the rows of all, and grows as they end; charts of throughput and rooflines stand in `results.html`
beside it. A benchmark that fails, or lacks a peer or data, is told at the end, and the others run. `--only` takes some.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import comparison
import peers
import results

from jaxgen.atomic_write import write_whole

# The settings of each run of a benchmark; more blocks where a step is short and so noisier.
SUITE: dict[str, tuple[str, ...]] = {
    "token_models": ("--blocks 3 --steps 10",),
    "recurrence": ("--row lstm lm ragged min_gru --blocks 3 --steps 1",),
    "gan": ("--blocks 3",),
    "vae": ("--blocks 4 --steps 40",),
    "denoisers": ("--what training --blocks 2 --steps 3", "--what sampler --sizes 64 --blocks 2 --steps 1"),
    "decoders": ("--blocks 4",),
    "log_mel": ("--blocks 6",),
    "train_step": ("--blocks 3 --steps 10",),
    "sampling": ("--blocks 3",),
    "rollout": ("--blocks 2",),
    "compile_time": ("--blocks 1",),
    "step_overhead": ("--blocks 3",),
}
WITH_PEERS = {"token_models": ("nanogpt", "flax"), "vae": ("flax",)}  # the checkouts that each takes
NEEDED = {"nanogpt": (peers.NANOGPT,), "flax": (peers.LM1B, peers.VAE, peers.WMT)}


def main(arguments: Sequence[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=sys.argv[0], description=__doc__, formatter_class=raw)
    results.add_files(parser)
    peers.add_peers(parser, NEEDED)
    parser.add_argument("--only", nargs="+", choices=SUITE, default=tuple(SUITE), help="these alone")
    options = parser.parse_args(arguments)
    named = peers.folders(options.peer, NEEDED)
    charts = None
    if options.out is not None:
        results.check_new(options.out)
        results.check_new(charts := options.out.with_suffix(".html"))
    older = None if options.compare is None else results.older_results(options.compare, results.here())
    lines, failed, began = [], {}, time.monotonic()  # `failed`: names, each once
    runs = [(name, settings) for name in options.only for settings in SUITE[name]]
    for number, (name, settings) in enumerate(runs):
        _say(f"{number + 1} of {len(runs)}: {name} {settings}, after {_since(began)}")
        found, code = _rows(name, settings, named)
        lines += found
        if code:
            failed.setdefault(name)
        if options.out is not None and lines:
            write_whole(options.out, "".join(f"{line}\n" for line in lines).encode())
    _say(f"{len(lines)} rows in {_since(began)}" + (f"; not whole: {', '.join(failed)}" if failed else ""))
    if charts is not None and lines:
        _bench("plot", str(options.out), "--out", str(charts))  # where there is nothing to draw, it says so
    slower = [] if older is None else list(comparison.slower(older, [json.loads(line) for line in lines]))
    for sentence in slower:
        print(sentence, file=sys.stderr)
    return int(bool(failed or slower))


def _rows(name: str, settings: str, named: Mapping[str, Path]) -> tuple[list[str], int]:
    """A benchmark's rows, as lines of JSON, and its exit code; its own table and sentences come to the terminal."""
    own = [f"{peer}={named[peer]}" for peer in WITH_PEERS.get(name, ()) if peer in named]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        code = _bench(name, *settings.split(), *(("--peer", *own) if own else ()), "--out", str(out))
        return (out.read_text(encoding="utf-8").splitlines() if out.exists() else []), code


def _bench(*arguments: str) -> int:
    return subprocess.run((sys.executable, "-m", "jaxgen.cli", "bench", *arguments), check=False).returncode


def _say(sentence: str) -> None:
    print(f"jaxgen: {sentence}", file=sys.stderr, flush=True)


def _since(began: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    return f"{minutes} min {seconds} s"


if __name__ == "__main__":
    results.ended(main)
