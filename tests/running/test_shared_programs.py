"""Runs that differ in seed and rate share one compilation, and each ends as it does alone, bit for bit."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import optax
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.running.shared_programs import SharedPrograms
from jaxgen.running.train_run import train_run
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import JitDevices
from tests.commands.command import NETWORKS
from tests.commands.test_resume import end_of

FEW = ["data.batch_size=16", "steps=4", "steps_per_call=2", "evaluate.examples=16", "every.log=2", "every.evaluate=9"]


def members(family):
    base = set_fields(load_experiment(f"{family}/digits", Experiment), [*NETWORKS[family], *FEW, "every.sample=9"])
    for seed, rate in ((0, 1e-3), (1, 1e-3), (1, 3e-3)):
        rates = [f"optimisers.{turn}.learning_rate.peak={rate}" for turn in base.optimisers]
        yield set_fields(base, [*rates, f"seed={seed}"])


@pytest.fixture
def compiled(monkeypatch):
    """How many training programs were lowered."""
    count, lower = [], JitDevices.lower

    def counted(self, *arguments):
        count.append(1)
        return lower(self, *arguments)

    monkeypatch.setattr(JitDevices, "lower", counted)
    return count


@pytest.mark.parametrize("family", ["rnn", pytest.param("gan", marks=pytest.mark.slow)])
def test_a_member_ends_as_it_does_alone(family, tmp_path, compiled):
    shared, runs = SharedPrograms(), list(members(family))
    for number, experiment in enumerate(runs):
        train_run(experiment, tmp_path / f"shared{number}", lambda: False, shared=shared)
    train_run(runs[2], tmp_path / "stopped", lambda: True, shared=shared)
    train_run(runs[2], tmp_path / "stopped", lambda: False, shared=shared)  # goes on by the same program
    assert len(compiled) == 1 and end_of(tmp_path / "stopped") == end_of(tmp_path / "shared2")
    ends = [end_of(tmp_path / f"shared{number}") for number in range(len(runs))]
    assert len({str(end[1]) for end in ends}) == len(runs)  # seed and rate tell
    train_run(runs[2], tmp_path / "alone", lambda: False)
    assert len(compiled) == 2 and end_of(tmp_path / "alone") == ends[2]


@dataclasses.dataclass(frozen=True)
class Halved(AdamW):
    """Test-only: a user's own, whose program holds its rate."""

    def build(self, updates):
        return optax.adam(self.learning_rate / 2)


def test_a_rate_that_is_no_leaf_is_not_shared(tmp_path, compiled):
    shared, (first, *_) = SharedPrograms(), members("rnn")
    for rate in (1e-3, 3e-3):
        experiment = dataclasses.replace(first, optimisers={"likelihood": Halved(rate)})
        train_run(experiment, tmp_path / f"{rate}", lambda: False, shared=shared)
    assert len(compiled) == 2


def test_what_changes_the_program_is_compiled_anew(tmp_path, compiled):
    shared, (first, *_) = SharedPrograms(), members("rnn")
    for number, change in enumerate(([], ["optimisers.likelihood.b2=0.9"], ["optimisers.likelihood=Lion"])):
        train_run(set_fields(first, change), tmp_path / str(number), lambda: False, shared=shared)
    assert len(compiled) == 3
