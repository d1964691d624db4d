"""The candidates as contestants, each in a worker's process; one that fails is told and takes no other with it."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jaxgen.autotuning.knobs import Candidate
from jaxgen.environment import with_xla_flags
from jaxgen.running.command_line import Changes
from jaxgen.timing.contest import Contestant, Does, Work

_BLOCK = 0.3  # seconds that a block takes at least, in whole calls


class Failed(Exception):
    """A candidate that could not be measured: its reason, in a clause."""

    def __init__(self, candidate: Candidate, reason: str):
        super().__init__(reason)
        self.candidate = candidate


@dataclass(frozen=True)
class Prepared:
    """What a worker tells of a candidate that is compiled and has taken its first steps."""

    results: Mapping[str, float]  # losses and gradient norms of the first steps
    examples: int  # of a step
    step_seconds: float
    steps_per_call: int
    compile_seconds: float
    peak_bytes: int | None  # on each device, as XLA tells it
    loops: bool
    most_devices: int

    @property
    def calls(self) -> int:
        """Of a block."""
        return max(1, round(_BLOCK / (self.step_seconds * self.steps_per_call)))


class Process:
    """A worker's process, begun with XLA flags after those that the user has set."""

    def __init__(self, config: str, changes: Changes, flags: str):
        # what it says on stderr, where the reason of a crash may stand
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        own = {"XLA_FLAGS": with_xla_flags(flags), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # others share the device
        command = [sys.executable, "-m", "jaxgen.autotuning.worker"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._said, "text": True}
        self._process = subprocess.Popen(command, env=os.environ | own, encoding="utf-8", **pipes)
        self._write({"config": config, "changes": asdict(changes)})

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, candidate: Candidate, act: str, **arguments: Any) -> Any:
        """What the worker answers. Failed where it cannot do it, or dies of it."""
        self._write([act, arguments])
        line = self._process.stdout.readline()
        if not line:
            raise Failed(candidate, self._death())
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(candidate, answer["failed"])
        return answer["done"]

    def close(self) -> None:
        """At once, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            with contextlib.suppress(OSError):
                stream.close()

    def _write(self, request: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # no answer will come, and that is told
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _death(self) -> str:
        """How the process ended, and the last line that it said."""
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"its process ended with {signal.Signals(-code).name if code < 0 else f'code {code}'}"
        how += ", as when memory runs out" if code == -signal.SIGKILL else ""
        return f"{how}: {lines[-1]}" if lines else how


class Pool:
    """A worker for each set of XLA flags, begun when it is needed and again when it has died."""

    def __init__(self, config: str, changes: Changes):
        self._how = config, changes
        self._processes: dict[str, Process] = {}
        self._prepared: dict[Candidate, Prepared] = {}

    def facts(self) -> dict[str, Any]:
        """`environment.facts` of the process that trains the experiment as it is."""
        return self._process(Candidate()).ask(Candidate(), "facts")

    def prepare(self, candidate: Candidate) -> Prepared:
        """It is compiled, and has taken its first steps, now or before. Failed where it cannot be."""
        process = self._process(candidate)
        if candidate not in self._prepared:
            told = process.ask(candidate, "prepare", name=str(candidate), settings=list(candidate.settings))
            self._prepared[candidate] = Prepared(**told)
        return self._prepared[candidate]

    def contestant(self, candidate: Candidate) -> Contestant:
        """One that is prepared, to be timed."""
        prepared, process, name = self._prepared[candidate], self._process(candidate), str(candidate)
        block = lambda: process.ask(candidate, "block", name=name, calls=prepared.calls)  # noqa: E731
        work = Work(
            block,
            prepared.calls * prepared.steps_per_call,
            {},
            before=lambda: process.ask(candidate, "resume", name=name),
            does=Does(prepared.examples),
            elsewhere=True,
        )
        return Contestant(name, lambda compiling: work)

    def drop(self, candidate: Candidate) -> None:
        """Its memory is given back."""
        if self._prepared.pop(candidate, None) is not None and self._processes[candidate.flags].alive:
            self._processes[candidate.flags].ask(candidate, "drop", name=str(candidate))

    def _process(self, candidate: Candidate) -> Process:
        flags = candidate.flags
        if flags in self._processes and not self._processes[flags].alive:
            self._processes.pop(flags).close()
            self._prepared = {one: told for one, told in self._prepared.items() if one.flags != flags}
        if flags not in self._processes:
            self._processes[flags] = Process(*self._how, flags)
        return self._processes[flags]

    def close(self) -> None:
        for process in self._processes.values():
            process.close()
