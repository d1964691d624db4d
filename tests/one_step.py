"""One step of a run with parts, on devices laid out in any way."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.training.feeds import TracedFeed
from jaxgen.training.parallel import Parallel


def one_step(experiment: Experiment, folder: Path, parallel: Parallel, metric: str) -> tuple[Any, Any]:
    """The parameters after it and a metric of it; that the parts are left as they were is asserted."""
    assembly = assemble(dataclasses.replace(experiment, parallel=parallel), workdir=folder)
    devices, game, parts = assembly.devices, assembly.game, assembly.parts
    before = jax.device_get(parts)
    state = devices.begin(assembly.init, assembly.key, None)
    feed = TracedFeed(assembly.source, devices).example(state)
    program = devices.lower(game, state, feed, True, assembly.loops, parts).compile()
    state, metrics = program(state, feed, np.int32(1), parts)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(parts), before)
    return jax.device_get((devices.fetch(state).params, metrics[metric]))
