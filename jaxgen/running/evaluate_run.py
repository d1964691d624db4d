"""One run measured on a split, and the test split's figures kept in it: `jaxgen evaluate` without its command line."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxgen.core.data import Prepared
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.metrics.unmeasured import Unmeasured
from jaxgen.reporting.reasons import REASONS, by_reason
from jaxgen.reporting.terminal import Work, say
from jaxgen.running.bounded import Stopped, never
from jaxgen.running.calibrating import Calibrated, calibrated, keep
from jaxgen.running.changed_data import as_begun
from jaxgen.running.data_info import chosen_data
from jaxgen.running.figures import figures_of, in_json
from jaxgen.running.trained import CHANGEABLE, Trained, load_trained
from jaxgen.training.folder import merge_summary

CONTEXT = "step", "split", "seed", "examples"  # what figures are of, as it stands before them


def evaluate_run(
    workdir: Path,
    split: str = "test",
    config: str | Experiment | None = None,
    settings: Sequence[str] = (),
    which: str | None = None,
    stopped: Callable[[], bool] = never,
) -> dict[str, Any]:
    """The figures of a checkpoint behind their CONTEXT; the newest one's on the test split go into summary.json.

    `seed` is the run's, from which all draws of the evaluation follow; losses, bounds and the task's other figures are
    means over so many `examples`. Figures under other settings than the run's own (another sampler, or some of the
    examples) stay out of summary.json. A figure that cannot be had is null, its reason stands in "unmeasured" by its
    name and is told.
    """
    trained = load_trained(workdir, config, say, settings, which)
    looked_at_otherwise = any(setting.startswith(CHANGEABLE) for setting in settings)
    return evaluate_trained(trained, split, stopped, which is None and not looked_at_otherwise)


def evaluate_trained(trained: Trained, split: str, stopped: Callable[[], bool], own: bool) -> dict[str, Any]:
    """The figures of a run that has been loaded; `own`: at its newest checkpoint, with the run's own settings."""
    trained = _on_its_own_data(trained)
    if isinstance(data := trained.assembly.data, Prepared):
        data.prepare(split, Work, stopped)
        if stopped():
            raise Stopped
    found = calibrated(trained, split, stopped)
    told = {} if found is None else {"calibration_error": found} if isinstance(found, Unmeasured) else found.figures
    measured, examples = figures_of(trained, split, stopped)
    figures = in_json(measured | told)
    for sentence in by_reason(figures):
        say(sentence)
    if split == "test" and own:
        try:
            merge_summary(trained.folder, {REASONS: {}, **figures})
            if isinstance(found, Calibrated):
                keep(trained.folder, found)
        except UserError as error:  # a run that may only be read has been evaluated all the same
            say(str(error))
    context = trained.step, split, trained.assembly.experiment.seed, examples
    return {**dict(zip(CONTEXT, context, strict=True)), **figures}


def _on_its_own_data(trained: Trained) -> Trained:
    """The run with its data in the sizes that it was trained on; UserError where what its numbers mean has changed."""
    experiment = as_begun(trained.assembly.experiment, trained.folder)
    if experiment is trained.assembly.experiment:
        return trained
    assembly = dataclasses.replace(trained.assembly, experiment=experiment, data=chosen_data(experiment))
    return dataclasses.replace(trained, assembly=assembly)
