"""A training run in its folder: restored or begun, stepped, logged, evaluated, sampled and saved."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import functools
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxgen.core.data import Remarking, Transcribed
from jaxgen.core.masks import by_path, size_of
from jaxgen.core.state import TrainState
from jaxgen.core.task import InPlaces
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import Progress
from jaxgen.running.assembly import Assembly
from jaxgen.running.compiled import CompiledMemory
from jaxgen.running.estimate import device_bytes, memory, shapes_of, warning
from jaxgen.running.looks import Looks
from jaxgen.running.rollback import PatienceSpent, noteworthy, stopped_sentence, watched
from jaxgen.running.run_log import RunLog
from jaxgen.running.shared_programs import SharedPrograms
from jaxgen.running.starting import Started, load_start
from jaxgen.running.together import Seat
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.feeds import (
    Feed,
    ManyShapes,
    Span,
    TracedFeed,
    feed_for,
    in_one_shape,
    spans,
)
from jaxgen.training.folder import STOPPED, TIMING, FollowedFolder, RunFolder
from jaxgen.training.goodput import Cause, Goodput, TimedFeed
from jaxgen.training.guard import SKIPPED, redrawn
from jaxgen.training.loop import Hook, Window, fit
from jaxgen.training.processes import Vote, leads, several, told, told_tree
from jaxgen.training.profile import Profiled
from jaxgen.training.program import ProgramByShape, Run, given_parts
from jaxgen.training.schedules import peaks_in, with_peaks
from jaxgen.training.sharded_checkpoints import ShardedCheckpoints
from jaxgen.training.shared_checkpoints import SharedCheckpoints
from jaxgen.types import Metrics


class Trainer:
    """One process's work on one run folder, from the state it is found in to the experiment's last step."""

    def __init__(
        self,
        assembly: Assembly,
        folder: RunFolder | FollowedFolder,
        say: Callable[[str], None],
        began: float,
        profile: int = 0,
        shared: SharedPrograms | Seat | None = None,
    ):
        self.assembly, self.experiment, self.folder, self.say = assembly, assembly.experiment, folder, say
        self._shared = shared or SharedPrograms()
        self._began, self._goodput = began, Goodput(began, self._shared.runs)
        self._checkpoints = self._opened()
        self._stopped: Callable[[], bool] = lambda: False
        self._log = RunLog(folder, self.experiment.trackers, say)
        self._looks = Looks(assembly, self._log, self._goodput, self._evaluated, lambda: self._stopped(), say)
        self._saved: int | None = None
        self._rollbacks: list[int] = []  # the steps up to which updates had been skipped, one each
        self._program: Run | None = None
        self._compile_seconds = 0.0
        self._profile = profile  # steps to trace
        self._room, self._warned = device_bytes(), False  # as it is before the run takes any of it

    def _opened(self) -> Checkpoints | SharedCheckpoints:
        experiment, parallel = self.experiment, self.experiment.parallel
        how = self.folder.path, experiment.keep, experiment.best
        if not several():
            return Checkpoints(*how)
        if parallel.fsdp * parallel.tensor > 1:
            return ShardedCheckpoints(*how, self.assembly.devices.layout)
        return SharedCheckpoints(*how)

    def run(self, stopped: Callable[[], bool]) -> int:
        """Train until the last step, or until `stopped`. Returns the step reached, which has a checkpoint."""
        try:
            self.folder.drop(STOPPED)
            self._stopped = Vote(stopped) if several() else stopped
            state, step = self._train_or_roll_back()
            if self._looks.spent():
                patience = self.experiment.stop
                self.say(f"ended at step {step}: {patience.evaluations} evaluations gave no better {patience.metric}")
            elif self._looks.failing():
                count = self.experiment.evaluate.warnings
                self.say(f"ended at step {step}: {count} evaluations in a row gave a warning")
            self._summarise(state, step)
        except BaseException:
            with contextlib.suppress(UserError):  # what ended the run is told, not what follows from it
                self._checkpoints.close()
            raise
        finally:
            self._log.finish()
        with self._goodput.spending(Cause.CHECKPOINT):
            self._checkpoints.close()
        spent = self._goodput.spent()
        self.folder.log(TIMING, {"step": step, "spent": spent})
        self.folder.summarise({"spent": spent})
        return step

    def _train_or_roll_back(self) -> tuple[TrainState, int]:
        state, step = self._begin()
        if due := self._looks.due(step):
            with self._stopwatch.paused(), self._log.events_from(step):
                if self._saved is None:
                    self._checkpoint(step, state)  # from here on the run needs no other folder
                for look in due:
                    look(step, state)
        while step < self.experiment.steps and not self._looks.ended():
            try:
                with self._log.events_from(step):
                    return self._train(state, step)
            except PatienceSpent as error:
                spent = error.turn, error.step  # not the error: its frames hold a whole state
            state, step = self._roll_back(*spent)
        return state, step

    def _roll_back(self, turn: str, step: int) -> tuple[TrainState, int]:
        """The newest whole checkpoint with fresh draws; UserError, and a report, when that has been tried too often.

        A function of what is on disk and in the state alone, so that a run killed before or after ends the same.
        """
        guard, rollbacks = self.experiment.guard, [*self._rollbacks, step]
        self._checkpoints.keep_regular(self.experiment.every.checkpoint)
        if len(rollbacks) > guard.rollbacks:
            sentence = stopped_sentence(self.folder.path, guard, turn, rollbacks, self._checkpoints.steps())
            self.folder.write(STOPPED, sentence + "\n")
            raise UserError(sentence)
        self.say(
            f"{guard.patience} updates of {turn!r} in a row were skipped up to step {step}: "
            f"rollback {len(rollbacks)} of {guard.rollbacks}, with a fresh order of the data"
        )
        state, step = self._begin(len(rollbacks))
        self._rollbacks = rollbacks
        return state, step

    def _begin(self, rollback: int = 0) -> tuple[TrainState, int]:
        """The newest whole checkpoint, or the first state; its draws made anew where it is the `rollback`-th."""
        assembly = self.assembly
        shapes = shapes_of(assembly)
        if not rollback:
            self._tell_layout(shapes)
        self._warn_if_large(memory(assembly, shapes).total)
        restored = self._checkpoints.restore(shapes, self.say)
        if restored is None:
            self._looks.refuse_other_metrics()
            start = self._start()
            first = lambda key, start: redrawn(assembly.init(key, *start), rollback)  # noqa: E731 - jitted as one
            state = assembly.devices.begin(first, assembly.key, (start.variables, start.moments))
            record, step = {}, 0
        else:
            state, record = restored
            state = self._with_peaks(state)
            step = self._saved = int(state.step)
            state = assembly.devices.put_state(redrawn(state, rollback))
            done = step == self.experiment.steps
            if self.experiment.best is not None and not done and not rollback:  # it may be another than before
                self._looks.refuse_other_metrics()
            self.say(
                f"the run has ended at step {step}; nothing is left to do" if done else f"going on from step {step}"
            )
        self.folder.forget_after(-1 if restored is None else step)
        self._window, self._stopwatch = Window(record.get("window")), self._shared.stopwatch(record.get("seconds", 0.0))
        self._logged_at = record.get("logged_at", (0, 0.0))
        self._rollbacks = record.get("rollbacks", [])
        if not rollback:
            self._goodput.remember(self.folder.spent())
        return state, step

    def _tell_layout(self, shapes: TrainState) -> None:
        """What a mesh over fsdp or tensor does, for a dimension that its axis does not divide stays whole."""
        parallel, devices = self.experiment.parallel, self.assembly.devices
        if parallel.fsdp * parallel.tensor > 1:
            self.say(f"each of {devices.count} devices holds {devices.held(shapes.params):.0%} of the parameters")

    def _start(self) -> Started:
        """What the run starts from, read by one process and told to the others."""
        if self.experiment.start is None or not several():
            return load_start(self.assembly, self.say)
        started = load_start(self.assembly, self.say) if leads() else Started()
        shapes = shapes_of(self.assembly)
        optimisers = by_path(shapes.opt_state)
        names = json.loads(told(json.dumps(list(started.moments)).encode()))
        like = jax.eval_shape(self.assembly.task.init, self.assembly.key), {name: optimisers[name] for name in names}
        return Started(*told_tree((started.variables, dict(started.moments)), like))

    def _train(self, state: TrainState, step: int) -> tuple[TrainState, int]:
        every, experiment = self.experiment.every, self.experiment
        hooks = (  # saved first: whatever becomes of the others, the step is not lost
            Hook(every.checkpoint, self._checkpoint),
            Hook(every.evaluate, self._looks.evaluate),
            Hook(every.sample, self._looks.sample),
        )
        calls = functools.partial(self._calls, state, step)
        with self._stopwatch.paused():
            feed = self._feed(state, calls())
            self._program = self._program or self._compile(state, feed, step)
        shown = leads() and self._shared.shown
        with Progress(experiment.steps, "train", self.assembly.game.batch_size, shown) as self._progress:
            timed, how = TimedFeed(feed, self._goodput), (self._read, hooks, self._stopwatch, self._stopped)
            self._looks.work = self._progress.work
            with self._goodput.spending(Cause.STEP), self._profiled() as program:
                ends = self._looks.ended, self._checkpoint_unless_saved
                state, step = fit(program, state, timed, calls(), experiment.steps, *how, *ends)
            self._checkpoint_unless_saved(step, state)
        return state, step

    def _profiled(self) -> contextlib.AbstractContextManager[Run]:
        """The program, traced for the steps that were asked for; after a rollback not once more."""
        steps, self._profile = self._profile if leads() else 0, 0
        if not steps:
            return contextlib.nullcontext(self._program)
        return Profiled(self._program, steps, self.folder.path / "profile", self.say, self._stopwatch.paused)

    def _summarise(self, state: TrainState, step: int) -> None:
        logged_at, seconds = self._logged_at
        seconds = seconds if logged_at == step else self._stopwatch.seconds
        params = self.assembly.devices.fetch(state).params
        parameters, moving = size_of(params), self.assembly.game.moving_size(params)
        speed = {"steps": step, "train_seconds": seconds, "parameters": parameters}
        # a run that is stopped in its first look has trained for no time
        rate = {"examples_per_second": step * self.assembly.game.batch_size / seconds} if seconds else {}
        frozen = {} if moving == parameters else {"frozen_fraction": 1 - moving / parameters}
        self.folder.summarise(speed | rate | frozen)

    def _with_peaks(self, state: TrainState) -> TrainState:
        """The state with the peaks of its learning rates, where it was saved before they were leaves."""
        if not np.isnan(peaks_in(state.opt_state)).any():
            return state
        first = jax.jit(lambda key: peaks_in(self.assembly.init(key).opt_state))(self.assembly.key)
        return state.replace(opt_state=with_peaks(state.opt_state, jax.device_get(first)))

    def _calls(self, state: TrainState, step: int) -> Iterator[Span]:
        every, assembly = self.experiment.every, self.assembly
        calls = spans(step, self.experiment.steps, assembly.steps_per_call, tuple(vars(every).values()))
        if isinstance(assembly.source, ManyShapes):
            calls = in_one_shape(calls, assembly.source, assembly.devices.fetch(state).source, assembly.game.draws)
        return calls

    def _feed(self, state: TrainState, calls: Iterator) -> Feed:
        assembly, source = self.assembly, self.assembly.source
        if self.experiment.rewards is None and isinstance(self.assembly.data, Remarking):
            for sentence in self.assembly.data.remarks(source):
                self.say(sentence)
        if isinstance(self.assembly.data, Transcribed) and isinstance(self.assembly.task, InPlaces):
            for sentence in self.assembly.data.too_long(self.assembly.task.places):
                self.say(sentence)
        how = assembly.game.draws, assembly.steps_per_call, calls, assembly.parts
        return feed_for(source, assembly.devices, state, *how)

    def _compile(self, state: TrainState, feed: Feed, step: int) -> Run:
        """The training program, compiled before the first call so that its time stands apart; one for each shape."""
        if not isinstance(self.assembly.source, ManyShapes):
            return self._compiled(state, feed.example(state), isinstance(feed, TracedFeed), step)

        def compiled(state: TrainState, batches: Any) -> Run:
            with self._stopwatch.paused():
                return self._compiled(state, batches, False, int(self.assembly.devices.fetch(state).step))

        return ProgramByShape(compiled)

    def _compiled(self, state: TrainState, batches: Any, traced: bool, step: int) -> Run:
        assembly = self.assembly
        began = time.perf_counter()
        with self._goodput.spending(Cause.COMPILE):
            program = self._shared.program(assembly, state, batches, traced)
        if (held := CompiledMemory.of(program)) is not None:
            self._warn_if_large(held.peak)
        now = time.perf_counter()
        self._compile_seconds += now - began
        self.folder.log(TIMING, {"step": step, "compile_seconds": now - began, "start_seconds": now - self._began})
        self.folder.summarise({"compile_seconds": self._compile_seconds})
        return given_parts(program, assembly.parts)

    def _warn_if_large(self, needed: int) -> None:
        """Once, and as soon as it is known: of the state before it is made, of the rest once the program is there."""
        if not self._warned and (sentence := warning(needed, self._room)):
            self._warned = True
            self.say(sentence)

    def _read(self, step: int, metrics: Metrics) -> None:
        """A call's metrics, and a line of both logs where one is due."""
        metrics = jax.device_get(metrics)
        if self.experiment.rewards is not None:
            self._refuse_no_number(step, metrics)
        self._window.add(watched(step, metrics, self.assembly.game.turns))
        if step % self.experiment.every.log and step != self.experiment.steps:
            return
        values, seconds = noteworthy(self._window.take(), len(self._rollbacks)), self._stopwatch.seconds
        since_step, since_seconds = self._logged_at
        rate = (step - since_step) * self.assembly.game.batch_size / max(seconds - since_seconds, 1e-9)
        self._logged_at = step, seconds
        self._log.metrics(step, "train", values)
        self.folder.log(TIMING, {"step": step, "seconds": seconds, "examples_per_second": rate})
        losses = {name: value for name, value in values.items() if name.split("/")[-1] == "loss"}
        self._progress.update(step, losses, rate)

    def _refuse_no_number(self, step: int, metrics: Metrics) -> None:
        """A reward that is no number is the user's to mend: the guard has skipped it and left it out of the mean."""
        reward, examples = metrics["reward"], float(metrics[SKIPPED].weight) * self.assembly.game.batch_size
        if not math.isfinite(float(reward.total)) or float(reward.weight) < examples:
            raise UserError(
                f"the reward of a batch up to step {step} is no finite number: mend rewards.reward, which must give "
                "one for every example, and run the same command again"
            )

    def _checkpoint_unless_saved(self, step: int, state: TrainState) -> None:
        """The last good state, of a run that has ended or gets no further batch."""
        if self._saved != step:
            self._checkpoint(step, state)

    def _checkpoint(self, step: int, state: TrainState) -> None:
        with self._goodput.spending(Cause.CHECKPOINT):
            self._save(step, state)

    def _evaluated(self, step: int, figures: dict[str, float]) -> None:
        if self._regular(step):
            self._checkpoints.evaluated(step, figures)

    def _regular(self, step: int) -> bool:
        return step % self.experiment.every.checkpoint == 0 or step == self.experiment.steps

    def _save(self, step: int, state: TrainState) -> None:
        self._saved = step
        spent = self._goodput.spent()
        self.folder.log(TIMING, {"step": step, "spent": spent})
        # a copy of the window: it is written on a thread while the next calls are added
        record = {"window": dict(self._window.sums), "seconds": self._stopwatch.seconds, "logged_at": self._logged_at}
        record |= {"rollbacks": self._rollbacks}
        # not where a stop alone saves: `best` chooses among the same steps as in a run that was not stopped
        record["regular"] = self._regular(step)
        self._checkpoints.save(step, self.assembly.devices.fetch(state), record)
        if self._shared.runs > 1:  # Orbax knows the end of a save by a number that the whole process counts
            self._checkpoints.wait()
