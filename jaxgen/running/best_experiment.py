"""The file of an experiment that a folder's runs showed to be the best: `jaxgen train --config` takes it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

BEST = "best.py"


def best_file(sentence: str, run: str, settings: Sequence[str] = ()) -> str:
    """Its text: the experiment of the run `members/RUN` beside it, with these settings."""
    return f'''"""{sentence}"""

from pathlib import Path

from jaxgen.experiment import Experiment
from jaxgen.running.trained import read_experiment


def experiment() -> Experiment:
    return read_experiment(Path(__file__).parent / "members" / {run!r}, None, {list(settings)})
'''
