"""An experiment's training as a contestant: its own program, taken so many steps a call on so many devices."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from harness import Compiling, Contestant, Work

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.state import TrainState
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.training.feeds import TracedFeed, spans
from jaxgen.training.loop import Stopwatch, Window, fit
from jaxgen.training.parallel import Parallel
from jaxgen.types import Metrics, Variables

Program = Callable[[TrainState, Any, Any], tuple[TrainState, Metrics]]
FAMILIES = ("rnn", "transformer", "gan", "vae", "diffusion")
COMPARED = 3  # steps after the first whose losses are compared: later ones Adam lets rounding grow in


def digits(family: str, changes: tuple[str, ...] = ()) -> Experiment:
    """The family's experiment on digits, with fields changed as `--set` changes them."""
    return set_fields(load_experiment(f"{family}/digits", Experiment), changes)


def lively(variables: Variables) -> Variables:
    """Variables none of which is zero, as after some training: much of what can differ hides behind fresh zeros."""
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    moved = [leaf + 0.05 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return variables.replace(params=jax.tree.unflatten(tree, moved))


def begun(assembly: Assembly) -> Variables:
    """The variables that all contestants of a row start from."""
    return lively(jax.jit(assembly.task.init)(assembly.key))


@dataclass
class Training:
    """A run in memory: the compiled program, its feed and its state, which every call replaces."""

    program: Program
    feed: TracedFeed
    state: TrainState

    @classmethod
    def begin(
        cls, assembly: Assembly, compiled: Callable[[TrainState, Any], Program], start: Variables | None = None
    ) -> "Training":
        """The run before its first step; `compiled(state, what a call is fed)` is its program."""
        state = assembly.devices.begin(assembly.init, assembly.key, begun(assembly) if start is None else start)
        feed = TracedFeed(assembly.source, assembly.devices)
        return cls(compiled(state, feed.example(state)), feed, state)

    def steps(self, count: int, per_call: int) -> TrainState:
        """`count` steps, `per_call` a call, by the loop that `jaxgen train` runs, reading the metrics as it does."""
        calls, window = spans(0, count, per_call, ()), Window()
        self.state, _ = fit(
            self.program, self.state, self.feed, calls, count, lambda _, m: window.add(m), (), Stopwatch(), _never
        )
        return self.state

    def call(self, count: int) -> Metrics:
        """One call of the program, `count` steps long."""
        feed, state = self.feed(self.state, (0, count))
        self.state, metrics = self.program(state, feed, np.int32(count))
        return metrics

    def results(self, per_call: int) -> dict[str, float]:
        """Every loss and gradient norm of the first step, and every loss as the mean over the few steps after it."""
        first = _values(self.call(1))
        calls = [_values(self.call(count)) for count in _cut(COMPARED, per_call)]
        sums = {name: sum(values[name] for values in calls) for name in first}
        named = {f"{name} in the first step": total / weight for name, (total, weight) in first.items()}
        later = {
            f"{name} in the {COMPARED} steps after it": total / weight
            for name, (total, weight) in sums.items()
            if name.endswith("loss")
        }
        return named | later


def compile_program(assembly: Assembly, state: TrainState, fed: Any) -> Program:
    """The program of `jaxgen train`, compiled."""
    return assembly.devices.lower(assembly.game, state, fed, True, assembly.loops).compile()


def _never() -> bool:
    return False


def _cut(count: int, per_call: int) -> list[int]:
    return [min(per_call, count - begin) for begin in range(0, count, per_call)]


def _values(metrics: Metrics) -> Mapping[str, np.ndarray]:
    """Each loss and gradient norm as [total, weight]."""
    compared = {name: mean for name, mean in metrics.items() if name.split("/")[-1] in ("loss", "gradient_norm")}
    return {name: np.array([mean.total, mean.weight], np.float64) for name, mean in compared.items()}


def contestant(name: str, experiment: Experiment, devices: int, per_call: int, steps: int) -> Contestant:
    """The experiment's training on `devices` devices, blocks of `steps` steps with `per_call` in each call."""

    def prepare(compiling: Compiling) -> Work:
        assembly = assemble(replace(experiment, parallel=Parallel(data=devices)))

        def compiled(state, fed):
            with compiling():
                return compile_program(assembly, state, fed)

        training = Training.begin(assembly, compiled)
        return Work(lambda: training.steps(steps, per_call), steps, training.results(per_call))

    return Contestant(name, prepare)


def most_devices(batch_size: int) -> int:
    """As many of the machine's as the batch divides by."""
    return max(count for count in range(1, jax.device_count() + 1) if batch_size % count == 0)


def devices_told(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"
