"""Runs to play with: small networks whose parameters are all alive, without a training."""
# SPDX-License-Identifier: Apache-2.0

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxgen.config.changes import set_fields
from jaxgen.play.explorer import Explorer
from jaxgen.running.assembly import assemble
from jaxgen.running.trained import Trained
from tests.families.cases import experiment_of, lively

FEW = {"diffusion": ["task.sampler.steps=3"]}  # evaluations
_kept = tempfile.TemporaryDirectory()


def explorer(case: str, settings: Sequence[str] = ()) -> Explorer:
    """Of the contract's case; `settings` as --set has them."""
    own = experiment_of(case)
    experiment = set_fields(own, settings)
    folder = Path(_kept.name) / case
    folder.mkdir(exist_ok=True)
    trained = Trained(folder, assemble(experiment), lively(case), None, 7)
    return Explorer(trained, own.task.sampler, ["jaxgen", "play", "--workdir", str(folder), "--checkpoint", "7"])


@functools.cache
def kept(case: str) -> Explorer:
    """One that tests share, with what it has compiled."""
    return explorer(case, FEW.get(case, ()))
