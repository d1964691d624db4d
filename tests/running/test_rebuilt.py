"""The average of a width that no training has tracked, out of a run's checkpoints, against one that was tracked."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.errors import UserError
from jaxgen.running.rebuilt import rebuilt_average
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.averages import PowerEMA, power_of
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.post_hoc import Profile, combination
from tests.families.cases import experiment_of
from tests.training.test_checkpoint import files_of, state_at

SHORT = ["steps=120", "steps_per_call=6", "data.batch_size=16", "keep=20", "evaluate.examples=16"]
SHORT += ["every.log=120", "every.evaluate=120", "every.sample=120", "every.checkpoint=6"]


@dataclass(frozen=True)
class Tracked:
    """An average that the run does not know to be of a power."""

    width: float

    def update(self, average, params, step, batch_size):
        return PowerEMA(self.width).update(average, params, step, batch_size)


def distance(found, wanted):
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True))
    return np.sqrt(sum(np.sum((a - b) ** 2) for a, b in pairs) / sum(np.sum(b**2) for _, b in pairs))


@pytest.mark.slow
def test_a_rebuilt_average_is_the_one_that_was_tracked(tmp_path):
    averages = {"narrow": PowerEMA(0.05), "wide": PowerEMA(0.1)}
    wanted = {"0.07": Tracked(0.07), "0.15": Tracked(0.15)}
    run = tmp_path / "run"
    experiment = replace(set_fields(experiment_of("diffusion"), SHORT), averages=averages | wanted)
    assert train_run(experiment, run, lambda: False) == 120

    checkpoints = Checkpoints(run, keep=None)
    tracked = checkpoints.restore_saved(print)[0]["averages"]
    checkpoints.close()

    def shown(*settings):
        return jax.device_get(load_trained(run, experiment, lambda sentence: None, settings).variables.params)

    plain = shown()
    for width in wanted:
        found = shown(f"evaluate.width={width}")
        assert distance(found, tracked[width]) < 1e-3 < 3 * distance(plain, tracked[width])
    with pytest.raises(UserError, match=r"evaluate.width is 0.07, and no average of this run is a PowerEMA"):
        own = replace(experiment, averages=wanted | {"narrow": Tracked(0.05), "wide": Tracked(0.1)})
        rebuilt_average(None, None, set_fields(own, ["evaluate.width=0.07"]), None, print)


def test_the_newest_checkpoint_is_read_once(tmp_path):
    """Its files are destroyed once it is read. Two averages of one leaf at each of three steps, weighed by hand."""
    averages = {"narrow": PowerEMA(0.05), "wide": PowerEMA(0.1)}
    experiment = replace(experiment_of("diffusion"), averages=averages)
    experiment = set_fields(experiment, ["evaluate.width=0.07"])
    values = {step: {"narrow": np.float32(step), "wide": np.float32(step**2)} for step in (20, 40, 60)}
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step, pair in values.items():
        state = state_at(step).replace(averages={name: {"leaf": jax.numpy.asarray(pair[name])} for name in pair})
        checkpoints.save(step, state, {})
    checkpoints.wait()
    like = jax.eval_shape(lambda: state)
    last, _ = checkpoints.restore(like, print)
    for file in files_of(tmp_path, 60):
        file.write_bytes(b"")
    found = rebuilt_average(checkpoints, like, experiment, last, print)["leaf"]
    checkpoints.close()
    known = [(step, name) for step in values for name in averages]
    profiles = [Profile(step, averages[name].power) for step, name in known]
    factors, _ = combination(profiles, Profile(60, power_of(0.07)))
    wanted = sum(factor * values[step][name] for factor, (step, name) in zip(factors, known, strict=True))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
