"""A reward run's step, and the part of it that draws samples and asks the reward: how much of the time a rollout is.

    jaxgen bench rollout [CONFIG ...] [--set rewards.group=8 ...]

Without a CONFIG: configs/FAMILY/digits_reward.py of all five families, from fresh weights. One device, a step a call.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from chosen import add_experiments, experiment_of, facts_of, names
from results import ended, parser, race, report, set_up
from training import contestant

from jaxgen.core.data import Traced
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.timing.contest import Compiling, Contestant, Does, Refused, Row, Work, uncompared
from jaxgen.training.parallel import Parallel


def rollout(assembly: Assembly, steps: int) -> Contestant:
    """The source of a reward run alone: batches of samples with what the reward gave them."""
    size = assembly.game.batch_size

    def prepare(compiling: Compiling) -> Work:
        state = jax.jit(assembly.init)(assembly.key)
        variables = state.variables.replace(parts=assembly.parts)
        drawn = jax.jit(
            lambda own, variables, number: assembly.source.next(own, variables, number, jnp.arange(size))[0]
        )
        with compiling():
            program = drawn.lower(state.source, variables, jnp.int32(0)).compile()

        def block() -> list:
            return [program(state.source, variables, jnp.int32(number)) for number in range(steps)]

        return Work(block, steps, None, does=Does(examples=size))

    return Contestant("samples and rewards alone", prepare)


def row(changes: Sequence[str], steps: int, blocks: int, config: str) -> Row:
    experiment = replace(experiment_of(config, changes), parallel=Parallel(data=1))
    assembly = assemble(experiment)
    if experiment.rewards is None or not isinstance(assembly.source, Traced):
        raise Refused(f"{config}: it draws no samples inside a program for a reward; not timed")
    size = assembly.game.batch_size
    whole = contestant("the whole step", experiment, 1, 1, steps, does=Does(examples=size))
    sides = [uncompared(whole), rollout(assembly, steps)]
    done = race(f"{config}, step toward a reward", sides, blocks)
    return replace(done, facts=facts_of(config, changes, experiment, "step toward a reward"))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 4, 2)
    add_experiments(asked)
    options = asked.parse_args(arguments)
    set_up()
    how = options.set, options.steps, options.blocks
    return report([functools.partial(row, *how, config) for config in names(options, "digits_reward")], options)


if __name__ == "__main__":
    ended(main)
