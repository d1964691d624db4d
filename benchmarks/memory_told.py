"""What `describe` and `describe --compile` tell of a run's memory, beside the peak that the run was measured at.

    python benchmarks/memory_told.py [CONFIG ...] [--set FIELD=VALUE ...]

Each config in a process of its own takes a few calls of its program. The peak is the process's resident memory above
what it held when the state stood there, and the bytes of state and data; on an accelerator the device's own count. What
a CPU's allocator and matrix library keep for themselves is in it and in no figure of XLA's. Compiling, which takes
memory too, is not: it is over before.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from jaxgen.environment import set_up_jax
from jaxgen.running.assembly import assemble
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.running.compiled import compile_for
from jaxgen.running.estimate import estimate, shapes_of
from jaxgen.timing import memory
from jaxgen.training.feeds import TracedFeed

CONFIG = "configs/transformer/python_docs.py"
LARGER = ("data.batch_size=32", "data.length=256")
CALLS, STEPS = 3, 2


def measured(config: str, changes: list[str]) -> dict[str, float | str]:
    """Bytes on one device: the estimate, XLA's figure, and the peak of a run of `CALLS` calls."""
    set_up_jax()
    jax.config.update("jax_enable_compilation_cache", False)
    assembly = assemble(chosen_experiment(config, Changes(changes, mesh="data=1")))
    shapes = shapes_of(assembly)
    told, compiled = estimate(assembly, shapes).memory.total, compile_for(assembly, shapes).memory.peak
    state = assembly.devices.begin(assembly.init, assembly.key, None)
    fed = TracedFeed(assembly.source, assembly.devices).example(state)
    program = assembly.devices.lower(assembly.game, state, fed, True, assembly.loops).compile()
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((state, fed)))
    before = memory.mark()
    for _ in range(CALLS):
        state, metrics = program(state, fed, np.int32(STEPS))
        jax.block_until_ready((state, metrics))
    above = memory.peak_above(before)
    peak = None if above is None else held + above
    return {"config": config, "estimate_bytes": told, "xla_bytes": compiled, "peak_bytes": peak}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="*", default=[CONFIG])
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="of all the configs named")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one config, in this very process
    options = parser.parse_args(arguments)
    changes = options.set or (list(LARGER) if options.config == [CONFIG] else [])
    if options.alone:
        print(json.dumps(measured(options.config[0], changes)))
        return 0
    table = ["| config | estimate, MB | XLA, MB | measured peak, MB | XLA over measured |", "|---|---|---|---|---|"]
    for config in options.config:
        command = [sys.executable, str(Path(__file__)), config, "--alone", *(["--set", *changes] if changes else [])]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
        print(line, flush=True)
        row = json.loads(line)
        sizes = [row[name] for name in ("estimate_bytes", "xla_bytes", "peak_bytes")]
        shown = " | ".join("-" if size is None else f"{size / 1e6:.1f}" for size in sizes)
        share = f"{row['xla_bytes'] / row['peak_bytes']:.2f}" if row["peak_bytes"] else "-"
        table.append(f"| {config} | {shown} | {share} |")
    print("\n" + "\n".join([*table, "", f"With {' '.join(changes) or 'no changes'}, one device."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
