"""How long an experiment's programs take to compile: training step and sampler, cold, and from the cache on disk.

    jaxgen bench compile_time [CONFIG ...] [--set FIELD=VALUE ...]

Without a CONFIG: configs/FAMILY/digits.py of all five families. Tracing and lowering to StableHLO stand apart from
what XLA does with it. A step here is one program.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax
from chosen import add_experiments, experiment_of, facts_of, names
from jax.experimental.compilation_cache import compilation_cache
from results import ended, parser, race, report, set_up
from sampling import request_of

from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.compiled import lower_for
from jaxgen.running.estimate import shapes_of
from jaxgen.timing.contest import Contestant, Row, Work
from jaxgen.training.evaluation import make_sampler
from jaxgen.training.parallel import Parallel

Lower = Callable[[], jax.stages.Lowered]


def programs(assembly: Assembly) -> Iterator[tuple[str, Lower]]:
    """Each program's name, and what lowers it anew."""
    state = shapes_of(assembly)
    yield "training step", lambda: lower_for(assembly, state)
    request, variables = request_of(assembly, 16), jax.eval_shape(assembly.task.init, assembly.key)
    yield "sampler", lambda: make_sampler(assembly.sample).lower(variables, request, assembly.key)


def contestants(lower: Lower, folder: Path) -> Iterator[Contestant]:
    yield Contestant("traced and lowered", lambda _: Work(lambda: _anew(lower), 1, None))
    for name, cache in (("compiled, cold", None), ("compiled, from the cache", folder)):
        yield Contestant(name, functools.partial(_compiling, lower, cache))


def _compiling(lower: Lower, cache: Path | None, _) -> Work:
    held: list[jax.stages.Lowered] = []

    def before() -> None:
        held[:] = [_anew(lower)]
        jax.config.update("jax_enable_compilation_cache", cache is not None)
        jax.config.update("jax_compilation_cache_dir", None if cache is None else str(cache))
        compilation_cache.reset_cache()  # it looks at its settings once

    return Work(lambda: held[0].compile() and None, 1, None, before)


def _anew(lower: Lower) -> jax.stages.Lowered:
    jax.clear_caches()
    return lower()


def rows(changes: Sequence[str], blocks: int, config: str, folder: Path) -> Iterator[Callable[[], Row]]:
    experiment = replace(experiment_of(config, changes), parallel=Parallel(data=1))
    assembly = assemble(experiment)

    def row(name: str, lower: Lower) -> Row:
        # The block whose memory is looked at warms up enough: it fills the cache on disk.
        done = race(f"{config}, {name}, to compile", contestants(lower, folder), blocks, warm_up=0)
        return replace(done, facts=facts_of(config, changes, experiment, f"{name}, to compile"))

    for name, lower in programs(assembly):
        yield functools.partial(row, name, lower)


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 3)
    add_experiments(asked)
    options = asked.parse_args(arguments)
    set_up()
    with tempfile.TemporaryDirectory() as folder:
        every = (rows(options.set, options.blocks, config, Path(folder)) for config in names(options))
        return report((row for each in every for row in each), options)


if __name__ == "__main__":
    ended(main)
