"""Runs that are trained by one vmapped program end as each does alone, but for the last bits, whatever others do."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import numpy as np
import pytest

from jaxgen.running.assembly import assemble
from jaxgen.running.estimate import shapes_of
from jaxgen.running.shared_programs import SharedPrograms
from jaxgen.running.together import Together
from jaxgen.running.train_run import train_run
from jaxgen.training.checkpoint import Checkpoints
from tests.running.test_shared_programs import members

TOLERANCE = 1e-5  # of a leaf's largest element, after four steps


def params_of(experiment, folder):
    """The step of the newest checkpoint, and its parameters."""
    state, _ = Checkpoints(folder, experiment.keep, experiment.best).restore(shapes_of(assemble(experiment)), print)
    return int(state.step), jax.device_get(state.params)


def assert_close(ours, theirs):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * np.abs(other).max(initial=1e-3))


def train_all(runs, folder, stop=lambda: False, measures=False):
    together = Together(SharedPrograms(), stop, measures)
    train = lambda experiment, name, seat: train_run(experiment, folder / name, seat.stopped, shared=seat)  # noqa: E731
    together.train({name: functools.partial(train, one, name) for name, one in runs.items()})
    return together


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Three runs of an RNN, and what each ends with by itself."""
    folder, runs = tmp_path_factory.mktemp("alone"), dict(zip("abc", members("rnn"), strict=True))
    shared = SharedPrograms()
    for name, experiment in runs.items():
        train_run(experiment, folder / name, lambda: False, shared=shared)
    return runs, {name: params_of(one, folder / name) for name, one in runs.items()}


def check(alone, folder):
    runs, ends = alone
    for name, experiment in runs.items():
        step, params = params_of(experiment, folder / name)
        assert step == ends[name][0] == 4
        assert_close(params, ends[name][1])


def test_they_end_as_each_does_alone(alone, tmp_path):
    together = train_all(alone[0], tmp_path)
    assert together._program._vmapped and len(together._shared._held) == 1
    check(alone, tmp_path)
