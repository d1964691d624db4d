"""Runs that are trained by one vmapped program end as each does alone, but for the last bits, whatever others do."""
# SPDX-License-Identifier: Apache-2.0

import functools
import re

import jax
import numpy as np
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.running.assembly import assemble
from jaxgen.running.estimate import shapes_of
from jaxgen.running.shared_programs import SharedPrograms
from jaxgen.running.together import Together
from jaxgen.running.train_run import train_run
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.parallel import JitDevices
from tests.running.test_shared_programs import members

TOLERANCE = 1e-3  # of a leaf's norm, after four steps: Adam makes much of gradients that are rounding alone


def params_of(experiment, folder):
    """The step of the newest checkpoint, and its parameters."""
    state, _ = Checkpoints(folder, experiment.keep, experiment.best).restore(shapes_of(assemble(experiment)), print)
    return int(state.step), jax.device_get(state.params)


def assert_close(ours, theirs):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.linalg.norm(one - other) <= TOLERANCE * np.linalg.norm(other)


def train_all(runs, folder, stop=lambda: False, measures=False):
    train = lambda experiment, name, seat: train_run(experiment, folder / name, seat.stopped, shared=seat)  # noqa: E731
    each = {name: functools.partial(train, one, name) for name, one in runs.items()}
    Together(SharedPrograms(), stop, measures).train(each)


@pytest.fixture
def compiled(monkeypatch):
    """Of each vmapped program that is made, how many runs it is for."""
    made, program = [], JitDevices.program_of_several

    def counted(self, game, state, runs, traced, loops):
        made.append(runs)
        return program(self, game, state, runs, traced, loops)

    monkeypatch.setattr(JitDevices, "program_of_several", counted)
    return made


def ends_alone(runs, folder):
    """What each ends with by itself."""
    shared = SharedPrograms()
    for name, experiment in runs.items():
        train_run(experiment, folder / name, lambda: False, shared=shared)
    return {name: params_of(one, folder / name) for name, one in runs.items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Three runs of an RNN, and what each ends with by itself."""
    runs = dict(zip("abc", members("rnn"), strict=True))
    return runs, ends_alone(runs, tmp_path_factory.mktemp("alone"))


def check(runs, ends, folder, names="abc"):
    for name in names:
        step, params = params_of(runs[name], folder / name)
        assert step == ends[name][0] == runs[name].steps
        assert_close(params, ends[name][1])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["transformer", "gan", "vae", "diffusion"])
def test_those_of_every_family_end_as_each_does_alone(family, tmp_path):
    runs = dict(zip("abc", members(family), strict=True))
    train_all(runs, tmp_path / "together")
    check(runs, ends_alone(runs, tmp_path / "alone"), tmp_path / "together")


def test_they_end_as_each_does_alone_also_where_all_were_stopped_at_one_step(alone, tmp_path, compiled):
    asked = iter((False, True))  # after compiling, after the first call
    train_all(alone[0], tmp_path, lambda: next(asked, True))
    assert {params_of(one, tmp_path / name)[0] for name, one in alone[0].items()} == {2}
    train_all(alone[0], tmp_path)
    assert compiled == [3, 3]
    check(*alone, tmp_path)


def test_one_that_is_ahead_and_one_that_fails_leave_the_others_as_they_are(alone, tmp_path, capsys):
    runs, ends = alone
    train_run(runs["a"], tmp_path / "a", lambda: True)  # stopped after its first call
    train_run(set_fields(runs["c"], ["data.batch_size=8", "steps=2"]), tmp_path / "c", lambda: False)
    train_all(runs, tmp_path)
    check(runs, ends, tmp_path, "ab")
    assert "jaxgen: c: is trained by itself: UserError" in capsys.readouterr().err


def test_those_that_differ_in_more_are_left_alone(alone, tmp_path, capsys):
    runs = {"a": alone[0]["a"], "b": set_fields(alone[0]["b"], ["optimisers.likelihood.b2=0.9"])}
    train_all(runs, tmp_path)
    assert capsys.readouterr().err.count("differ in more than seed, start and learning rates") == 2


def test_the_way_that_took_less_time_is_chosen(alone, tmp_path, capsys):
    runs = {name: set_fields(alone[0][name], ["steps=14", "every.log=100", "every.checkpoint=2"]) for name in "ab"}
    train_all(runs, tmp_path / "together", measures=True)
    check(runs, ends_alone(runs, tmp_path / "alone"), tmp_path / "together", "ab")
    said = re.search("2 runs are trained (.*): vmapped (.*) s a step of all, one .* (.*) s", capsys.readouterr().err)
    vmapped, single = float(said[2]), float(said[3])
    ways = {"as one program": vmapped <= single, "one after another": single <= vmapped}  # as rounded: a tie is either
    assert ways[said[1]]
