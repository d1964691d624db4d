"""An experiment's training as a contestant: so many steps a call on so many devices."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from model_flops import step_flops
from roofline import intensity

from jaxgen.core.state import TrainState
from jaxgen.experiment import Experiment
from jaxgen.nn.precision import Precision
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.shared_programs import shapes_of_arguments
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


class Shared:
    """What the contestants of a row have in common: where they start, and each program that is the same, once."""

    def __init__(self):
        self._variables: Variables | None = None
        self._programs: dict[Any, Program] = {}

    def begun(self, assembly: Assembly) -> Variables:
        if self._variables is None:
            self._variables = begun(assembly)
        return self._variables

    def compiled(self, assembly: Assembly, compiling: Compiling, state: TrainState, fed: Any, traced: bool) -> Program:
        """A program that was compiled before is told to have compiled nothing."""
        kind = assembly.experiment.parallel, shapes_of_arguments(state, fed)
        if kind not in self._programs:
            with compiling():
                self._programs[kind] = compile_program(assembly, state, fed, traced)
        return self._programs[kind]


def contestant(
    name: str,
    experiment: Experiment,
    devices: int,
    per_call: int,
    steps: int,
    compiler: Compiler = Compiler.JIT,
    does: Does = Does(),
    shared: Shared | None = None,
) -> Contestant:
    """The experiment's training on `devices` devices, blocks of `steps` steps with `per_call` in each call."""
    row = shared or Shared()

    def prepare(compiling: Compiling) -> Work:
        assembly = assemble(replace(experiment, parallel=Parallel(compiler, data=devices)))
        compiled = functools.partial(row.compiled, assembly, compiling)
        training = Training(assembly, compiled, per_call, Started(row.begun(assembly)))
        how = {"waited": training.waited, "does": replace(does, devices=devices)}
        how["intensity"] = intensity(training.program)
        return Work(lambda: training.steps(steps), steps, training.results(), **how)

    return Contestant(name, prepare)


def ours(
    experiment: Experiment,
    steps: int,
    results: Callable[[Assembly], Mapping[str, Any]] | None = None,
    precision: Precision = Precision.FLOAT32,
) -> list[Contestant]:
    """The experiment's training on one device, and on as many as the batch divides by: blocks of `steps` steps.

    `results`: what is compared, computed once, where the first steps draw what no peer draws.
    """
    assembly = assemble(experiment)
    per_call = steps if assembly.loops else 1
    calls = "single steps" if per_call == 1 else f"{per_call} steps a call"
    once = None if results is None else functools.cache(functools.partial(results, assembly))
    shared = Shared()

    def side(devices: int) -> Contestant:
        name = f"jaxgen, {devices_told(devices)}, {calls}"
        one = contestant(name, experiment, devices, per_call, steps, shared=shared)
        prepare = one.prepare if once is None else lambda compiling: replace(one.prepare(compiling), results=once())
        return replace(one, prepare=prepare, precision=precision.value)

    return [side(devices) for devices in dict.fromkeys((1, most_devices(experiment.data.batch_size)))]


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
