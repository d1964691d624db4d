"""A process that takes every family through a step, samples, an evaluation and a score: under settings of JAX's own."""
# SPDX-License-Identifier: Apache-2.0

import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxgen.commands.score import score
from jaxgen.config.changes import set_fields
from jaxgen.core.task import Critic, Likelihood
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.train_run import train_run
from tests.families.cases import CASES, DIGITS, experiment_of

FEW = ["steps=2", "evaluate.examples=32", "every.log=1", "every.evaluate=2", "every.sample=2", "every.checkpoint=2"]


def through(case: str, folder: Path) -> None:
    """Train two steps, sample and evaluate on the way, evaluate the run and score an example of it."""
    experiment = set_fields(experiment_of(case), [*FEW, "data.batch_size=16"])
    assert train_run(experiment, folder, lambda: False) == 2
    figures = evaluate_run(folder)
    assert all(np.isfinite(value) for value in figures.values() if isinstance(value, float)), (case, figures)
    if case in DIGITS and isinstance(experiment.task, Likelihood | Critic):
        picture = folder / "digit.png"
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture)
        assert score(str(folder), None, [], [str(picture)], ["3"]) == 0


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as name:
            through(case, Path(name))
        jax.clear_caches()
        print("through", case, flush=True)
