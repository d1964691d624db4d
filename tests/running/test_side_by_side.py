"""Jobs side by side, as whole processes: their order, their cores, what they say, and how they end."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import sys
import threading

import pytest

from jaxgen.errors import UserError
from jaxgen.running.side_by_side import Job, side_by_side

CORES = sorted(os.sched_getaffinity(0))


def python(name: str, code: str, *after: str) -> Job:
    return Job(name, (sys.executable, "-c", code), after)


def never() -> bool:
    return False


def test_a_job_begins_when_those_before_it_have_ended_and_its_lines_bear_its_name(tmp_path, capfd):
    def step(name: str, *after: str) -> Job:
        seen = f"print(sorted(p.name for p in d.iterdir())); (d / {name!r}).touch()"
        return python(name, f"import pathlib; d = pathlib.Path({str(tmp_path)!r}); {seen}", *after)

    side_by_side([step("last", "first", "second"), step("second", "first"), step("first")], never)
    lines = capfd.readouterr().out.splitlines()
    assert lines == ["first: []", "second: ['first']", "last: ['first', 'second']"]


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_jobs_at_the_same_time_share_the_cores_out(capfd):
    code = """
import json, os, time
began = time.time()
time.sleep(1)
print(json.dumps([sorted(os.sched_getaffinity(0)), began, time.time()]))
"""
    side_by_side([python("a", code), python("b", code)], never)
    told = dict(line.split(": ", 1) for line in capfd.readouterr().out.splitlines())
    (cores, began, ended), (other_cores, other_began, other_ended) = (json.loads(told[name]) for name in "ab")
    assert sorted(cores + other_cores) == CORES
    assert max(began, other_began) < min(ended, other_ended)


def test_a_job_that_fails_is_named_and_the_others_are_told_to_end(tmp_path, capfd):
    mark = tmp_path / "told"
    patient = f"""
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(mark)!r}).touch(), sys.exit(0)))
print("ready", flush=True)
time.sleep(60)
"""
    hasty = "import sys, time; time.sleep(2); sys.exit('no such file')"
    jobs = [python("patient", patient), python("hasty", hasty), python("never", "print(1)", "hasty")]
    if len(CORES) < 2:
        jobs = jobs[1:]
    with pytest.raises(UserError, match="hasty ended with exit code 1"):
        side_by_side(jobs, never)
    said = capfd.readouterr()
    assert "hasty: no such file" in said.err and "never:" not in said.out
    assert mark.exists() or len(CORES) < 2


def test_when_stopped_each_is_asked_to_save_and_none_begins(capfd):
    stopped = threading.Event()
    saving = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(143)))
print("ready", flush=True)
time.sleep(60)
"""
    timer = threading.Timer(5.0, stopped.set)
    timer.start()
    side_by_side([python("long", saving), python("later", "print(1)", "long")], stopped.is_set)
    timer.cancel()
    assert capfd.readouterr().out.splitlines() == ["long: ready", "long: saved"]
