"""`jaxgen train`: begin a run, or go on with it."""
# SPDX-License-Identifier: Apache-2.0

import signal
from pathlib import Path

from jaxgen.environment import facts
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say
from jaxgen.running.autotuned import told, with_autotuned
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.running.stopping import Stop
from jaxgen.running.train_run import train_run


def train(
    config: str, workdir: str, changes: Changes, began: float, profile: int = 0, autotuned: str | None = None
) -> int:
    """The exit code: 0 when the run has ended, 128 + the signal's number when it was stopped and saved."""
    if profile < 0:
        raise UserError(f"--profile is {profile}; give the number of steps to trace, or leave it out")
    experiment = chosen_experiment(config, changes)
    if autotuned is not None:
        experiment = with_autotuned(experiment, Path(autotuned), facts())
        say(told(Path(autotuned)))
    with Stop() as stop:
        step = train_run(experiment, Path(workdir), stop, began, profile)
    if step == experiment.steps or (experiment.stop is not None and stop.signal is None):
        return 0
    say(f"stopped at step {step} of {experiment.steps}, which is saved; the same command goes on from there")
    return 128 + (stop.signal or signal.SIGTERM)  # where another process was told to stop
