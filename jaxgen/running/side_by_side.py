"""Several jobs at once, each a process on cores of its own: what keeps a machine busy with small models."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from jaxgen.environment import backend
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say

_SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Job:
    """A command that can be run once the jobs named in `after` have ended."""

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    passed: tuple[int, ...] = (0,)  # the exit codes that let the others go on


def side_by_side(jobs: Sequence[Job], stop: Callable[[], bool], at_once: int | None = None) -> None:
    """Run every job, the first ones first, and pass on what they say, each line behind its job's name.

    On CPUs `at_once` at a time (None: as many as could begin together), the cores shared out among so many; an
    accelerator is given to one after another. On `stop` each is asked to end (SIGTERM) and waited for. UserError when a
    job fails: the others are stopped likewise.
    """
    free = _lanes(at_once or sum(not job.after for job in jobs))
    waiting, running, done = list(jobs), [], set()
    try:
        while running or (waiting and not stop()):
            ready = [job for job in waiting if done.issuperset(job.after)]
            for job in ready[: 0 if stop() else len(free)]:
                waiting.remove(job)
                running.append(_Running(job, free.pop(0)))
            for one in [one for one in running if one.ended(stop())]:
                running.remove(one)
                free.append(one.cores)
                done.add(one.job.name)
                if one.process.returncode not in one.job.passed and not stop():
                    raise UserError(f"{one.job.name} ended with exit code {one.process.returncode}, as it says above")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.wait()


def _lanes(at_once: int) -> list[set[int] | None]:
    """The cores of each place that a job can run in; None leaves it all that there is."""
    if not hasattr(os, "sched_setaffinity") or backend() != "cpu":
        return [None]
    cores = sorted(os.sched_getaffinity(0))
    count = min(at_once, len(cores))
    return [set(cores[lane::count]) for lane in range(count)]


@contextlib.contextmanager
def _on(cores: set[int] | None) -> Iterator[None]:
    """On these cores alone: a process that begins meanwhile inherits them. (Setting its own would fork us by hand.)"""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Running:
    """A job's process, in a session of its own: a Ctrl-C reaches us alone, and we pass it on."""

    def __init__(self, job: Job, cores: set[int] | None):
        self.job, self.cores = job, cores
        self._told = False
        say(f"beginning {job.name}")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        with _on(cores):
            self.process = subprocess.Popen(job.command, **pipes, start_new_session=True)
        pipes = ((self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr))
        self._relays = [threading.Thread(target=self._relay, args=pair, daemon=True) for pair in pipes]
        for relay in self._relays:
            relay.start()

    def ended(self, stop: bool) -> bool:
        """Whether it has, and all that it said has been passed on; the first time that `stop` is true it is told."""
        if self.process.poll() is None:
            if stop and not self._told:
                self._told = True
                self.process.terminate()
            return False
        for relay in self._relays:
            relay.join()
        return True

    def _relay(self, pipe: TextIO, out: TextIO) -> None:
        for line in pipe:
            with contextlib.suppress(OSError):  # nobody reads us any more, the job goes on all the same
                print(f"{self.job.name}: {line}", end="", file=out, flush=True)
