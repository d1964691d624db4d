"""An experiment's training as a contestant: its own program, taken so many steps a call on so many devices."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from harness import Compiling, Contestant, Does, Refused, Work
from model_flops import step_flops
from roofline import intensity

from jaxgen.core.state import TrainState
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.training.feeds import ManyShapes, Span, TracedFeed, feed_for
from jaxgen.training.goodput import Cause, Goodput, TimedFeed
from jaxgen.training.loop import Stopwatch, Window, fit
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.program import given_parts
from jaxgen.types import Metrics, Tokens, Variables

Program = Callable[[TrainState, Any, Any], tuple[TrainState, Metrics]]
COMPARED = 3  # steps after the first whose losses are compared: later ones Adam lets rounding grow in


def lively(variables: Variables) -> Variables:
    """Variables none of which is zero, as after some training: much of what can differ hides behind fresh zeros."""
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    moved = [leaf + 0.05 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return variables.replace(params=jax.tree.unflatten(tree, moved))


def begun(assembly: Assembly) -> Variables:
    """The variables that all contestants of a row start from."""
    return lively(jax.jit(assembly.task.init)(assembly.key))


class Training:
    """A run in memory: its feed, its state, which every call replaces, and the program that `compiled` makes for it.

    `compiled(state, what a call is fed, whether that is a traced source)`. The first call is one step long, then
    come the `COMPARED`, and all others are `per_call` long.
    """

    def __init__(
        self,
        assembly: Assembly,
        compiled: Callable[[TrainState, Any, bool], Program],
        per_call: int,
        start: Variables | None = None,
    ):
        devices, source = assembly.devices, assembly.source
        if isinstance(source, ManyShapes):
            raise Refused(f"{assembly.experiment.data.name}: its batches have several shapes; not timed")
        self.state = devices.begin(assembly.init, assembly.key, begun(assembly) if start is None else start)
        self._calls, ahead = itertools.tee(_calls(per_call))
        self._goodput = Goodput(time.perf_counter())
        feed = feed_for(source, devices, self.state, assembly.game.draws, per_call, ahead, assembly.parts)
        self.feed, self.per_call = TimedFeed(feed, self._goodput), per_call
        self.program = compiled(self.state, feed.example(self.state), isinstance(feed, TracedFeed))

    def steps(self, count: int) -> TrainState:
        """`count` steps, whole calls, by the loop that `jaxgen train` runs, reading the metrics as it does."""
        assert count % self.per_call == 0, "a block is so many whole calls"
        calls, window = itertools.islice(self._calls, count // self.per_call), Window()
        self.state, _ = fit(
            self.program, self.state, self.feed, calls, 0, lambda _, m: window.add(m), (), Stopwatch(), _never
        )
        return self.state

    def waited(self) -> float:
        """The seconds that the calls so far have waited for their batches."""
        return self._goodput.spent()[Cause.DATA.value]

    def results(self) -> dict[str, float]:
        """Every loss and gradient norm of the first step, and every loss as the mean over the few steps after it."""
        first = _values(self._call())
        calls = [_values(self._call()) for _ in _cut(COMPARED, self.per_call)]
        sums = {name: sum(values[name] for values in calls) for name in first}
        named = {f"{name} in the first step": total / weight for name, (total, weight) in first.items()}
        later = {
            f"{name} in the {COMPARED} steps after it": total / weight
            for name, (total, weight) in sums.items()
            if name.endswith("loss")
        }
        return named | later

    def _call(self) -> Metrics:
        span = next(self._calls)
        feed, state = self.feed(self.state, span)
        self.state, metrics = self.program(state, feed, np.int32(span[1]))
        return metrics


def _calls(per_call: int) -> Iterator[Span]:
    step = 0
    for count in itertools.chain([1], _cut(COMPARED, per_call), itertools.repeat(per_call)):
        yield step, count
        step += count


def compile_program(assembly: Assembly, state: TrainState, fed: Any, traced: bool = True) -> Program:
    """The program of `jaxgen train`, compiled."""
    how = traced, assembly.loops, assembly.parts
    return given_parts(assembly.devices.lower(assembly.game, state, fed, *how).compile(), assembly.parts)


def _never() -> bool:
    return False


def _cut(count: int, per_call: int) -> list[int]:
    return [min(per_call, count - begin) for begin in range(0, count, per_call)]


def _values(metrics: Metrics) -> Mapping[str, np.ndarray]:
    """Each loss and gradient norm as [total, weight]."""
    compared = {name: mean for name, mean in metrics.items() if name.split("/")[-1] in ("loss", "gradient_norm")}
    return {name: np.array([mean.total, mean.weight], np.float64) for name, mean in compared.items()}


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

        training = Training(assembly, compiled, per_call)
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
