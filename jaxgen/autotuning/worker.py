"""A process of its own that trains candidates when it is asked to: a JSON line on stdin, and one on stdout for it.

It has the XLA flags that it was begun with; whatever crashes it or takes all its memory ends no other process.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax

from jaxgen.autotuning.knobs import LONGEST_CALL
from jaxgen.config.changes import set_fields
from jaxgen.core.data import Between
from jaxgen.core.surgery import arranged
from jaxgen.environment import facts, set_up_jax
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.running.compiled import CompiledMemory
from jaxgen.running.starting import Started, load_start, with_new_leaves
from jaxgen.timing.contest import Refused
from jaxgen.timing.timed_run import Program, Training, compile_step
from jaxgen.training.program import given_parts


@dataclass(frozen=True)
class Compiled:
    """A training program, how long XLA took, and the bytes that it says a device holds (None: it says nothing)."""

    program: Program
    seconds: float
    peak_bytes: int | None

    @classmethod
    def of(cls, assembly: Assembly, state: Any, fed: Any, traced: bool) -> "Compiled":
        began = time.perf_counter()
        compiled = compile_step(assembly, state, fed, traced)
        seconds, memory = time.perf_counter() - began, CompiledMemory.of(compiled)
        return cls(given_parts(compiled, assembly.parts), seconds, None if memory is None else memory.peak)


class Timed:
    """A candidate's training, whose state waits in the host's memory while another has its turn."""

    def __init__(self, assembly: Assembly, compiled: Callable[..., Program], start: Started):
        self._devices = assembly.devices
        self._training = Training(assembly, compiled, assembly.steps_per_call, start, LONGEST_CALL)
        self.results, self.per_call = self._training.results(), self._training.per_call
        began = time.perf_counter()
        self.block(1)
        self.step_seconds = (time.perf_counter() - began) / self.per_call

    def block(self, calls: int) -> None:
        jax.block_until_ready(self._training.steps(calls * self.per_call))

    def park(self) -> None:
        state, host = self._devices.fetch(self._training.state), jax.local_devices(backend="cpu")[0]
        self._training.state = jax.block_until_ready(jax.device_put(state, host))

    def resume(self) -> None:
        self._training.state = jax.block_until_ready(self._devices.put_state(self._training.state))


class Worker:
    """The candidates of one process by their names; of one alone the state lies on the devices."""

    def __init__(self, config: str, changes: Changes):
        self._config, self._changes = config, changes
        self._timed: dict[str, Timed] = {}
        self._programs: list[tuple[Experiment, Compiled]] = []
        self._resumed: str | None = None

    def facts(self) -> dict[str, Any]:
        return facts()

    def prepare(self, name: str, settings: list[str]) -> dict[str, Any]:
        """Compile it and take its first steps: what they gave, and what the other side should know of it."""
        self._park()
        experiment = set_fields(self._experiment, settings)
        assembly, found = assemble(experiment), []

        def compiled(state: Any, fed: Any, traced: bool) -> Program:
            found.append(self._compiled(assembly, state, fed, traced))
            return found[0].program

        self._timed[name] = timed = Timed(assembly, compiled, self._start(assembly))
        self._resumed = name
        size = assembly.game.batch_size
        return {
            "results": timed.results,
            "examples": size,
            "step_seconds": timed.step_seconds,
            "steps_per_call": timed.per_call,
            "compile_seconds": found[0].seconds,
            "peak_bytes": found[0].peak_bytes,
            "loops": assembly.loops and not isinstance(assembly.source, Between),
            "most_devices": replace(experiment.parallel, data=0).place(size).count,
        }

    def resume(self, name: str) -> None:
        """Its state back on the devices, and no other's."""
        if name != self._resumed:
            self._park()
            self._timed[name].resume()
            self._resumed = name

    def block(self, name: str, calls: int) -> None:
        self._timed[name].block(calls)

    def drop(self, name: str) -> None:
        """It is not asked for any more."""
        self._resumed = None if name == self._resumed else self._resumed
        del self._timed[name]

    def _park(self) -> None:
        if self._resumed is not None:
            self._timed[self._resumed].park()
        self._resumed = None

    def _compiled(self, assembly: Assembly, state: Any, fed: Any, traced: bool) -> Compiled:
        """One program serves every number of steps in a call, where batches are made in it."""
        alike = replace(assembly.experiment, steps_per_call=1)
        for experiment, compiled in self._programs if traced else ():
            if experiment == alike:
                return compiled
        compiled = Compiled.of(assembly, state, fed, traced)
        self._programs.append((alike, compiled))
        return compiled

    def _start(self, assembly: Assembly) -> Started:
        """What the run would start from; where blocks are arranged otherwise, the same weights all the same."""
        if assembly.experiment.start is not None:
            return load_start(assembly, lambda sentence: None)
        first = assemble(self._experiment).task
        like, before = (jax.eval_shape(task.init, assembly.key).params for task in (assembly.task, first))
        if jax.tree.structure(like) == jax.tree.structure(before):
            return Started()
        start = jax.jit(first.init)(jax.random.fold_in(assembly.key, 0))  # as `init_state` does
        return Started(start.replace(params=arranged(start.params, like)))

    @functools.cached_property
    def _experiment(self) -> Experiment:
        return with_new_leaves(chosen_experiment(self._config, self._changes), None)


def _answer(act: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"done": act()}
    except (UserError, Refused) as error:
        return {"failed": str(error)}
    except Exception as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            return {"failed": "the device's memory is exhausted"}
        return {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}


def main() -> None:
    """Serve until stdin ends. What an experiment file prints is no answer, and goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    set_up_jax()
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are told
    begun = json.loads(sys.stdin.readline())
    worker = Worker(begun["config"], Changes(**begun["changes"]))
    acts = {act.__name__: act for act in (worker.facts, worker.prepare, worker.resume, worker.block, worker.drop)}
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(_answer(functools.partial(acts[name], **arguments))), file=answers, flush=True)


if __name__ == "__main__":
    main()
