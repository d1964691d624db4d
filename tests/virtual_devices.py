"""Python code in a process of its own with as many virtual CPU devices as it asks for."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
import signal
import subprocess
import sys
from typing import Any

from tests.commands.command import ROOT

# On fewer cores than devices XLA's CPU backend may let one device wait in one sum and another in another until it
# aborts. The scheduler that jaxgen.environment has put into XLA_FLAGS keeps one order of most sums, which makes that
# rare; accelerators keep one order of all.
_FLAGS = "--xla_cpu_collective_call_terminate_timeout_seconds=40"


def on_devices(count: int, code: str, *arguments: str) -> Any:
    """What the JSON on the code's last line of output holds; begun again where XLA gave up waiting, else never."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count} {_FLAGS}"
    surroundings = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *arguments]
    for _ in range(4):
        done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True)
        if done.returncode != -signal.SIGABRT or "Termination timeout for" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
