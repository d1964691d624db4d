"""A run's parameters as an average of any width would have them, rebuilt from the averages in its kept checkpoints."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.training.averages import PowerEMA, power_of
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.post_hoc import Profile, combination


def rebuilt_average(
    checkpoints: Checkpoints, like: TrainState, experiment: Experiment, last: TrainState, say: Callable[[str], None]
) -> Any:
    """The averaged leaves at `last`'s step of the width `experiment.evaluate.width`, in float32 on the host.

    `last` was read from its checkpoint; those of all earlier steps are read, one after another, in the shapes of
    `like`. UserError where the run has no PowerEMA.
    """
    width = experiment.evaluate.width
    kinds = {name: average for name, average in experiment.averages.items() if isinstance(average, PowerEMA)}
    if not kinds:
        raise UserError(
            f"evaluate.width is {width}, and no average of this run is a PowerEMA, from which others are rebuilt; "
            "leave it out, or train with averages of two widths"
        )
    step = int(last.step)
    steps = [step, *(kept for kept in checkpoints.steps() if kept < step)]
    known = [(kept, name) for kept in steps for name in kinds]
    profiles = [Profile(kept, kinds[name].power) for kept, name in known]
    factors, distance = combination(profiles, Profile(step, power_of(width)))
    total: Any = None
    for kept in steps:
        averages = (last if kept == step else checkpoints.restore(like, say, kept)[0]).averages
        for factor, (at, name) in zip(factors, known, strict=True):
            if at == kept:
                part = jax.tree.map(lambda leaf, factor=factor: factor * np.asarray(leaf, np.float64), averages[name])
                total = part if total is None else jax.tree.map(np.add, total, part)
    say(
        f"the average of width {width} is rebuilt from {len(known)} of {len(steps)} checkpoints; its weights over the "
        f"steps are {100 * distance:.2g} % off"
    )
    return jax.tree.map(lambda leaf, old: leaf.astype(old.dtype), total, like.averages[next(iter(kinds))])
