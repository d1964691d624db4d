"""Whether a change made training slower: step times of two checkouts of jaxgen, block by block in turn.

    python benchmarks/two_checkouts.py ../before .

Each side is a process that imports its own checkout and compiles the digits experiment of a family for one device; the
two then take turns of `--blocks` blocks of a few steps, the first one changing. Told are medians of the time a step.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

STEPS = {"rnn": 10, "transformer": 5, "gan": 40, "vae": 40, "diffusion": 5}  # of a block: about half a second
SIDE = """
import dataclasses, sys, time
import jax, numpy as np
from jaxgen.environment import set_up_jax
set_up_jax()
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.training.parallel import Parallel
family, steps = sys.argv[1], np.int32(sys.argv[2])
experiment = load_experiment(f"configs/{family}/digits.py", Experiment)
assembly = assemble(dataclasses.replace(experiment, parallel=Parallel(data=1)))
devices = assembly.devices
state = devices.begin(assembly.init, assembly.key, None)
feed = devices.put_feed(assembly.source, traced=True)
program = devices.lower(assembly.game, state, feed, True, assembly.loops).compile()
state, metrics = jax.block_until_ready(program(state, feed, steps))
print("ready", flush=True)
for _ in sys.stdin:
    began = time.perf_counter()
    state, metrics = jax.block_until_ready(program(state, feed, steps))
    print((time.perf_counter() - began) / int(steps), flush=True)
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs=2, metavar="CHECKOUT", help="the folder of each: before, and after")
    parser.add_argument("--blocks", type=int, default=12, help="of each side (%(default)s)")
    options = parser.parse_args(arguments)
    print("| family | before, ms | after, ms | after / before |\n|---|---|---|---|")
    for family in STEPS:
        before, after = (1000 * seconds for seconds in step_seconds(options.checkouts, family, options.blocks))
        print(f"| {family} | {before:.2f} | {after:.2f} | {after / before:.3f} |", flush=True)


def step_seconds(checkouts: list[str], family: str, blocks: int) -> list[float]:
    """The median seconds a step of each checkout."""
    sides = [begun(Path(checkout).resolve(), family) for checkout in checkouts]
    seconds: list[list[float]] = [[], []]
    for block in range(blocks):
        for place in (0, 1) if block % 2 else (1, 0):
            sides[place].stdin.write("go\n")
            sides[place].stdin.flush()
            seconds[place].append(float(sides[place].stdout.readline()))
    for side in sides:
        side.stdin.close()
        side.wait()
    return [statistics.median(times) for times in seconds]


def begun(checkout: Path, family: str) -> subprocess.Popen:
    """A side that has compiled."""
    command = [sys.executable, "-c", SIDE, family, str(STEPS[family])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    side = subprocess.Popen(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}, **pipes)
    if side.stdout.readline().strip() != "ready":
        raise SystemExit(f"{checkout} does not train {family}; see above")
    return side


if __name__ == "__main__":
    main()
