"""A transformer of some depths, its blocks one by one and scanned over, with what is kept of each for the way back.

    python benchmarks/depth.py [--depths 4 16 48] [--steps 5] [--blocks 5]

All contestants of a row start from the same weights and see the same batches of a text; their losses and gradient norms
are compared first. Compile times are cold. Beside each stands what XLA sets aside for temporary arrays, activations
foremost. A row in bfloat16 follows each in float32: like precisions race, and its losses are compared more loosely.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from dataclasses import replace

import jax
from chosen import series_of
from results import ended, parser, race, report, set_up
from roofline import intensity
from training import begun, training_does

from jaxgen.core.surgery import arranged
from jaxgen.data.text import Text
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.precision import Precision
from jaxgen.nn.remat import Remat
from jaxgen.running.assembly import assemble
from jaxgen.running.starting import Started
from jaxgen.timing.contest import Contestant, Row, Work
from jaxgen.timing.timed_run import Training, compile_program
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel

WAYS = (  # scanned or not, and what is kept
    (False, Remat.NONE),
    (True, Remat.NONE),
    (False, Remat.PRODUCTS),
    (True, Remat.PRODUCTS),
    (False, Remat.FULL),
    (True, Remat.FULL),
)
TOLERANCE = {Precision.FLOAT32: 1e-5, Precision.BFLOAT16: 2e-2}


def experiment(depth: int, precision: Precision, scan: bool, remat: Remat) -> Experiment:
    network = Transformer(128, depth, heads=4, hidden=512, precision=precision, scan=scan, remat=remat)
    return Experiment(
        task=LanguageModel(network),
        data=Text(name="python-docs", batch_size=8, length=128),
        optimisers={"likelihood": AdamW(1e-3, clip=1.0)},
        steps=1000,
        parallel=Parallel(data=1),
    )


def depth_row(depth: int, precision: Precision, steps: int, blocks: int) -> Row:
    """Every way of `WAYS`, from one set of weights."""
    notes: list[str] = []

    def contestant(scan: bool, remat: Remat) -> Contestant:
        name = f"{'scanned' if scan else 'one by one'}, remat {remat.name}"

        def prepare(compiling) -> Work:
            first, assembly = (
                assemble(experiment(depth, precision, *way)) for way in ((False, Remat.NONE), (scan, remat))
            )
            like = jax.eval_shape(assembly.task.init, assembly.key)
            start = begun(first)
            start = replace(start, params=arranged(start.params, like.params))

            def compiled(*what):
                with compiling():
                    program = compile_program(assembly, *what)
                notes.append(f"{name}: {program.memory_analysis().temp_size_in_bytes / 2**20:,.0f} MiB of temporaries")
                return program

            training = Training(assembly, compiled, steps, Started(start))
            found = intensity(training.program)
            return Work(lambda: training.steps(steps), steps, training.results(), intensity=found)

        return Contestant(name, prepare, precision.value)

    ways = list(itertools.starmap(contestant, WAYS))
    plain = experiment(depth, precision, *WAYS[0])
    row = race(f"{depth} blocks, {precision.value}", ways, blocks, TOLERANCE[precision], training_does(plain))
    return replace(row, notes=tuple(notes), facts=series_of(f"blocks of width 128, {precision.value}", plain))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 5, 5)
    asked.add_argument("--depths", nargs="+", type=int, default=[4, 16, 48], help="numbers of blocks (%(default)s)")
    options = asked.parse_args(arguments)
    set_up()
    rows = itertools.product(options.depths, Precision)
    return report((functools.partial(depth_row, *row, options.steps, options.blocks) for row in rows), options)


if __name__ == "__main__":
    ended(main)
