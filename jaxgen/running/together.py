"""Runs that differ in seed, start and learning rates alone, trained side by side by one vmapped program."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import said_of, say
from jaxgen.running.assembly import Assembly
from jaxgen.running.bounded import Stopped
from jaxgen.running.shared_programs import SharedPrograms, alike, shapes_of_arguments
from jaxgen.training.loop import Stopwatch
from jaxgen.training.parallel import JitDevices
from jaxgen.types import Metrics

_TIMED = 2  # calls of either way whose time is compared, after one each that is not

Done = tuple[TrainState, Metrics]


class Together:
    """Trains runs on a thread each. One thread runs at a time, until its run waits for a call of the program.

    Once all wait, the last one to come makes the call for all: either vmapped, or one run after another by the program
    of one, whichever took less time in the first calls. Where calls are of unlike lengths, as after a kill between two
    checkpoints, or a run has ended, they go one after another. The results of a vmapped call differ from those of a
    run by itself in the last bits.
    """

    def __init__(self, shared: SharedPrograms, stop: Callable[[], bool], measures: bool = True):
        self._shared, self._stop = shared, stop
        self._turn = threading.Condition()  # held by the thread that runs
        self._here: list[Seat] = []  # of the runs that have not ended
        self._asked: dict[Seat, Any] = {}
        self._answers: dict[Seat, Any] = {}
        self._served = 0
        self._program: _Program | None = None
        self._measures = measures
        self.stopping = False

    def train(self, runs: Mapping[str, Callable[["Seat"], object]]) -> None:
        """Call each run with its seat until all have ended. What ends one by an error is told; the others go on."""
        self._here = [Seat(self, len(runs), first=not number) for number in range(len(runs))]
        threads = [
            threading.Thread(target=self._train, args=(seat, name, run), daemon=True, name=name)
            for seat, (name, run) in zip(list(self._here), runs.items(), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _train(self, seat: "Seat", name: str, run: Callable[["Seat"], object]) -> None:
        with self._turn, said_of(name):
            try:
                run(seat)
            except Stopped:
                pass
            except Exception as error:  # the others are not to suffer from it
                say(f"is trained by itself: {type(error).__name__}: {error}")
            finally:
                self._here.remove(seat)
                if self._here and len(self._asked) == len(self._here):
                    self._serve()

    def meet(self, seat: "Seat", asked: Any) -> Any:
        """Wait for the other runs, and for the answer to what all have asked. Raises what ended that for all."""
        self._asked[seat] = asked
        turn = self._served
        if len(self._asked) == len(self._here):
            self._serve()
        else:
            self._turn.wait_for(lambda: self._served != turn)
        answer = self._answers.pop(seat)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _serve(self) -> None:
        asked = {seat: self._asked[seat] for seat in self._here}  # in one order, whoever came first
        self._asked = {}
        try:
            self._answers = self._answered(asked)
        except Exception as error:  # raised in the threads of all
            self._answers = dict.fromkeys(asked, error)
        self._served += 1
        self.stopping = self._stop()  # asked once for all, so that all stop at the same step
        self._turn.notify_all()

    def _answered(self, asked: Mapping["Seat", Any]) -> dict["Seat", Any]:
        runs = {seat: one for seat, one in asked.items() if isinstance(one, _Run)}
        calls = {seat: one for seat, one in asked.items() if isinstance(one, _Call)}
        if runs and (self._program or calls):
            raise UserError("its batches have several shapes, for which there is no vmapped program")
        if runs:
            self._program = _Program(self._shared, list(runs.values()), self._measures)
            return dict.fromkeys(asked, self._program.memory)
        done = self._program(list(calls.values())) if calls else ()
        return dict.fromkeys(asked) | dict(zip(calls, done, strict=True))


class Seat:
    """A run's place among those that are trained together, given to it in the place of `SharedPrograms`."""

    def __init__(self, together: Together, runs: int, first: bool):
        self._together, self.runs, self.shown = together, runs, first

    def program(self, assembly: Assembly, state: TrainState, batches: Any, traced: bool) -> "Seat":
        """Itself, once the program of all is compiled."""
        self.memory_analysis = self._together.meet(self, _Run((assembly, state, batches, traced)))
        return self

    def __call__(self, *arguments: Any) -> Done:
        return self._together.meet(self, _Call(arguments))

    def stopwatch(self, seconds: float) -> Stopwatch:
        """What is paused and goes on with those of all other runs, so that none counts what another does meanwhile."""
        return _Stopwatches(seconds, self._together, self)

    def stopped(self) -> bool:
        """Whether all were asked to stop: what a run's `stopped` has to be."""
        return self._together.stopping


class _Run(tuple):
    """What a run compiles its program of: assembly, state, batches, and whether these are a traced source."""


class _Call(tuple):
    """What a run calls the program with: state, batches, count, and parts where there are some."""


class _Stopwatches(Stopwatch):
    """A run's own, which waits for the others at both ends of a pause."""

    def __init__(self, seconds: float, together: Together, seat: Seat):
        super().__init__(seconds)
        self._wait = lambda: together.meet(seat, None)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        with super().paused():
            self._wait()
            yield
            self._wait()


class _Program:
    """The program of several runs, and that of one; which is faster is measured in the first calls."""

    def __init__(self, shared: SharedPrograms, runs: list[_Run], measures: bool):
        assembly, state, _, traced = runs[0]
        devices = assembly.devices
        if not isinstance(devices, JitDevices) or devices.held(state.params) < 1:
            raise UserError("runs are trained together by jit and where each device holds all parameters")
        first, *others = ((alike(run[0].experiment), shapes_of_arguments(*run[1:3])) for run in runs)
        if any(other != first for other in others):
            raise UserError("the runs differ in more than seed, start and learning rates")
        self._count, self._traced = len(runs), traced
        self._one = shared.program(*runs[0])
        given = tuple(run[1] for run in runs), self._feed([run[2] for run in runs])
        self._all = devices.lower_several(assembly.game, *given, traced, assembly.loops, assembly.parts).compile()
        self.memory = self._all.memory_analysis
        self._seconds: dict[bool, list[float]] = {True: [], False: []}  # a step, by whether it was vmapped
        self._vmapped: bool | None = None if measures else True

    def _feed(self, feeds: list[Any]) -> Any:
        return feeds[0] if self._traced else tuple(feeds)

    def __call__(self, asked: list[_Call]) -> list[Done]:
        """A call for each of these runs."""
        counts = {int(arguments[2]) for arguments in asked}
        if len(asked) < self._count or len(counts) > 1:
            return self._called(asked, vmapped=False)
        if self._vmapped is None:
            return self._timed(asked, *counts)
        return self._called(asked, self._vmapped)

    def _called(self, asked: list[_Call], vmapped: bool) -> list[Done]:
        if not vmapped:
            return [self._one(*arguments) for arguments in asked]
        states, feeds, (count, *_), *parts = zip(*asked, strict=True)
        return list(self._all(states, self._feed(list(feeds)), count, *(part[0] for part in parts)))

    def _timed(self, asked: list[_Call], steps: int) -> list[Done]:
        """A call by either way in turn, waited for; after enough of them the faster way is chosen."""
        vmapped = len(self._seconds[True]) <= len(self._seconds[False])
        jax.block_until_ready([arguments[0] for arguments in asked])
        began = time.perf_counter()
        done = jax.block_until_ready(self._called(asked, vmapped))
        self._seconds[vmapped].append((time.perf_counter() - began) / steps)
        if all(len(seconds) > _TIMED for seconds in self._seconds.values()):
            best = {way: min(seconds[1:]) for way, seconds in self._seconds.items()}
            self._vmapped = best[True] < best[False]
            chosen = "as one program" if self._vmapped else "one after another"
            times = f"vmapped {best[True]:.3g} s a step of all, one after another {best[False]:.3g} s"
            say(f"{self._count} runs are trained {chosen}: {times}")
        return done
