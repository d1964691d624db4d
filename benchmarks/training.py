"""An experiment's training as a contestant: so many steps a call on so many devices."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from model_flops import step_flops
from roofline import intensity

from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.starting import Started
from jaxgen.timing.contest import Compiling, Contestant, Does, Work
from jaxgen.timing.timed_run import Program, Training, compile_program
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.types import Tokens, Variables


def lively(variables: Variables) -> Variables:
    """Variables none of which is zero, as after some training: much of what can differ hides behind fresh zeros.

    Moved by NumPy, which compiles no programs for a leaf's shape.
    """
    drawn = np.random.default_rng(7)

    def moved(leaf: jax.Array) -> jax.Array:
        return jnp.asarray(np.asarray(leaf) + np.float32(0.05) * drawn.standard_normal(leaf.shape, np.float32))

    return variables.replace(params=jax.tree.map(moved, variables.params))


def begun(assembly: Assembly) -> Variables:
    """The variables that all contestants of a row start from."""
    return lively(jax.jit(assembly.task.init)(assembly.key))


def contestant(
    name: str,
    experiment: Experiment,
    devices: int,
    per_call: int,
    steps: int,
    compiler: Compiler = Compiler.JIT,
    does: Does = Does(),
) -> Contestant:
    """The experiment's training on `devices` devices, blocks of `steps` steps with `per_call` in each call."""

    def prepare(compiling: Compiling) -> Work:
        assembly = assemble(replace(experiment, parallel=Parallel(compiler, data=devices)))

        def compiled(*what) -> Program:
            with compiling():
                return compile_program(assembly, *what)

        training = Training(assembly, compiled, per_call, Started(begun(assembly)))
        how = {"waited": training.waited, "does": replace(does, devices=devices)}
        how["intensity"] = intensity(training.program)
        return Work(lambda: training.steps(steps), steps, training.results(), **how)

    return Contestant(name, prepare)


def training_does(experiment: Experiment) -> Does:
    """What a step of the experiment's training does."""
    spec, batch = experiment.data.spec(), experiment.data.batch_size
    tokens = batch * spec.made.elements if isinstance(spec.made, Tokens) else None
    return Does(batch, tokens, step_flops(experiment))


def most_devices(batch_size: int) -> int:
    """As many of the machine's as the batch divides by."""
    return max(count for count in range(1, jax.device_count() + 1) if batch_size % count == 0)


def devices_told(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
