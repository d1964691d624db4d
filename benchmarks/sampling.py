"""Samples a second of experiments as they are before training: the sampler is one program, for requests of some sizes.

    jaxgen bench sampling [CONFIG ...] [--set task.sampler.steps=8 ...] [--count 1 16 64]

Without a CONFIG: configs/FAMILY/digits.py of all five families. What is given comes from the held-out examples, where
the data are a set. A language model's token cannot be drawn faster than all weights are read from memory: the bytes of
its line count that, and nothing of what it keeps of earlier tokens.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from chosen import add_experiments, experiment_of, facts_of, names
from model_flops import ModelCosts
from results import ended, parser, positive, race, report, set_up
from roofline import intensity
from training import begun

from jaxgen.core.data import Finite
from jaxgen.families.language_model import LanguageModel
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.bounded import with_knobs
from jaxgen.timing.contest import Compiling, Contestant, Does, Row, Work
from jaxgen.training.evaluation import make_sampler
from jaxgen.training.parallel import Parallel
from jaxgen.types import Batch, Tokens, Variables


def request_of(assembly: Assembly, count: int) -> Batch:
    """So many samples to be drawn, for held-out examples over and over where something is given."""
    given: Any = {}
    if assembly.spec.given and isinstance(assembly.data, Finite):
        places = np.arange(count)
        first = assembly.data.first("test", count)["given"]
        given = jax.tree.map(lambda array: np.asarray(array)[places % len(array)], first)
    return with_knobs(assembly.task, {"row": np.arange(count, dtype=np.int32), "given": given})


def contestant(assembly: Assembly, count: int, steps: int) -> Contestant:
    """Calls of the sampler's program for `count` samples."""

    def prepare(compiling: Compiling) -> Work:
        variables, request = begun(assembly), request_of(assembly, count)
        traced = make_sampler(assembly.sample).trace(variables, request, assembly.key)
        with compiling():
            program = traced.lower().compile()
        flops = ModelCosts().flops(traced.jaxpr.jaxpr)
        keys = [jax.random.fold_in(assembly.key, number) for number in range(steps)]

        def block() -> list:
            return [program(variables, request, key) for key in keys]

        return Work(block, steps, None, does=_does(assembly, variables, count, flops), intensity=intensity(program))

    return Contestant("jaxgen, one program", prepare)


def _does(assembly: Assembly, variables: Variables, count: int, flops: float) -> Does:
    made = assembly.spec.made
    tokens = count * made.elements if isinstance(made, Tokens) else None
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(variables.params))
    reads = made.elements * weights if isinstance(assembly.task, LanguageModel) else None
    return Does(count, tokens, flops, reads)


def row(changes: Sequence[str], steps: int, blocks: int, config: str, count: int) -> Row:
    experiment = replace(experiment_of(config, changes), parallel=Parallel(data=1))
    done = race(f"{config}, sampling of {count}", [contestant(assemble(experiment), count, steps)], blocks)
    return replace(done, facts=facts_of(config, changes, experiment, "sampling") | {"batch": count})


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 6, 2)
    add_experiments(asked)
    together = "samples drawn together, a row each (%(default)s)"
    asked.add_argument("--count", nargs="+", type=positive, default=[1, 16, 64], metavar="N", help=together)
    options = asked.parse_args(arguments)
    set_up()
    how = options.set, options.steps, options.blocks
    ways = itertools.product(names(options), options.count)
    return report([functools.partial(row, *how, *way) for way in ways], options)


if __name__ == "__main__":
    ended(main)
