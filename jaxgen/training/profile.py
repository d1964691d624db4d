"""A trace of some steps of a run, for TensorBoard and Perfetto; the run computes what it would anyway."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxgen.core.state import TrainState
from jaxgen.training.program import Run
from jaxgen.types import Metrics


class Profiled:
    """A program whose calls are traced after its first, whole calls until `steps` steps are.

    `with Profiled(...) as program:` ends a trace that the run's end has cut short. `paused()` surrounds what only the
    trace costs; `say` is told where it lies, or why there is none.
    """

    def __init__(
        self,
        program: Run,
        steps: int,
        folder: Path,
        say: Callable[[str], None],
        paused: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ):
        self._program, self._left, self._folder = program, steps, folder
        self._say, self._paused = say, paused
        self._traced = 0
        self._warm = self._tracing = False

    def __call__(self, state: TrainState, batches: Any, count: Any) -> tuple[TrainState, Metrics]:
        if self._warm and self._left > 0 and not self._tracing:
            with self._paused():
                jax.block_until_ready(state)  # what went before is no part of the trace
                jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._tracing = True
        self._warm = True
        if not self._tracing:
            return self._program(state, batches, count)
        with jax.profiler.StepTraceAnnotation("train", step_num=self._traced):
            result = self._program(state, batches, count)
        self._traced, self._left = self._traced + int(count), self._left - int(count)
        if self._left <= 0:
            jax.block_until_ready(result)
            self._end()
        return result

    def __enter__(self) -> "Profiled":
        return self

    def __exit__(self, *error: object) -> None:
        if self._tracing:
            self._end()
        elif not self._traced:
            self._say("no step was traced: the run had no call left after its first")

    def _end(self) -> None:
        self._tracing, self._left = False, 0
        try:
            with self._paused():
                jax.profiler.stop_trace()
        except OSError as error:  # a trace is no reason to lose a run
            self._say(f"the trace could not be written to {self._folder} ({error.strerror}); the run goes on without")
            return
        self._say(
            f"a trace of {self._traced} steps is in {self._folder}: open its perfetto_trace.json.gz at "
            f"https://ui.perfetto.dev, or run tensorboard --logdir {self._folder} with tensorboard-plugin-profile"
        )
