"""A process that takes every family through a step, samples, an evaluation and a score: under settings of JAX's own."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxgen.commands.score import score
from jaxgen.config.changes import set_fields
from jaxgen.core.task import Critic, Likelihood
from jaxgen.running.train_run import train_run
from tests.families.cases import BATCH, CASES, DIGITS, KEY, batch_of, experiment_of, task_of

FEW = ["steps=2", "evaluate.examples=16", "every.log=1", "every.evaluate=2", "every.sample=2", "every.checkpoint=2"]


def through(case: str, folder: Path) -> None:
    """Train two steps, evaluate and sample after them, and score an example: all in 32 bits."""
    fewer = ["task.importance_samples=4"] if case == "vae" else []
    experiment = set_fields(experiment_of(case), [*FEW, *fewer, "data.batch_size=16"])
    assert train_run(experiment, folder, lambda: False) == 2
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    numbers = [value for line in lines for value in line.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all() and list((folder / "samples").iterdir())
    task = task_of(case)
    variables = jax.eval_shape(task.init, KEY)
    variables = variables.replace(extra=variables.extra.replace(rows=task.rows(BATCH)))
    mean, _ = jax.eval_shape(task.turns()[0].loss, variables, batch_of(case), KEY)
    assert all(leaf.dtype != np.float64 for leaf in jax.tree.leaves((variables, mean)))
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
