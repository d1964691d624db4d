"""A user's own optimiser, schedule and average, frozen dataclasses in the experiment's file, work to the end."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import shutil

import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import from_document, to_document
from jaxgen.config.reading import load_experiment
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.training.averages import EMA, UniformAverage
from jaxgen.training.groups import DecayOn, Group
from jaxgen.training.optimisers import SGD, Adafactor, AdamW, Lion, Muon
from jaxgen.training.schedules import Cosine, WarmupStableDecay
from tests.commands.command import ROOT, here, jaxgen
from tests.commands.test_resume import end_of


@pytest.fixture
def config():
    return ROOT / "docs/examples/own_optimiser.py"


def test_an_optimiser_of_ones_own_trains_resumes_samples_and_evaluates(config, tmp_path):
    """A copy of the run that has lost its newest checkpoints ends in the bits of the other."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = jaxgen("train", "--config", config, "--workdir", whole)
    assert process.returncode == 0, process.stderr
    shutil.copytree(whole, cut)
    for step in (8, 10):
        shutil.rmtree(cut / "checkpoints" / str(step))
    process = jaxgen("train", "--config", config, "--workdir", cut)
    assert process.returncode == 0, process.stderr
    assert end_of(whole)[0] == 10 and end_of(whole)[:4] == end_of(cut)[:4]
    process = here("sample", "--workdir", cut, "--config", config, "--count", "2", "--out", tmp_path / "two.png")
    assert process.returncode == 0 and (tmp_path / "two.png").stat().st_size > 0, process.stderr
    process = here("evaluate", "--workdir", cut, "--config", config, "--set", "evaluate.examples=60")
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout.strip().splitlines()[-1])["bits_per_dim"] < 3.9


def read_back(experiment: Experiment) -> Experiment:
    """From a document; the task, which is a test's, is left out of it."""
    found = from_document(to_document(dataclasses.replace(experiment, task=None)))
    return dataclasses.replace(found, task=experiment.task)


def test_an_optimiser_is_chosen_by_a_setting(config):
    """In place of a shipped one as of one's own; its fields are set along with it, and a document holds them all."""
    own = load_experiment(config, Experiment)
    for kind in (AdamW, SGD, Lion, Muon, Adafactor):
        changed = set_fields(own, [f"optimisers.likelihood={kind.__name__}", "averages.new=UniformAverage"])
        assert changed.optimisers["likelihood"] == kind() and changed.averages["new"] == UniformAverage()
        assert read_back(changed) == changed
    settings = [
        "optimisers.likelihood=lion",
        "optimisers.likelihood.learning_rate=WarmupStableDecay",
        "optimisers.likelihood.learning_rate.peak=0.1",
        "optimisers.likelihood.decay_on=all",
        "averages.new=EMA",
        "averages.new.half_life=100",
    ]
    changed = set_fields(own, settings)
    assert changed.optimisers["likelihood"] == Lion(WarmupStableDecay(peak=0.1), decay_on=DecayOn.ALL)
    assert changed.averages["new"] == EMA(half_life=100)
    grouped = AdamW(Cosine(1e-3), groups=(Group("pixels", rate_scale=2.0),))
    changed = set_fields(
        dataclasses.replace(changed, optimisers={"likelihood": grouped}),
        ["optimisers.likelihood.groups.0.rate_scale=0.5"],
    )
    assert changed.optimisers["likelihood"].groups[0].rate_scale == 0.5
    assert read_back(changed) == changed


class Nothing:
    """No optimiser."""


@dataclasses.dataclass(frozen=True)
class Number:
    """An optimiser that builds none."""

    def build(self, updates: int) -> float:
        return 0.1


@pytest.mark.parametrize(
    ("optimiser", "sentence"),
    [
        (Nothing(), "optimisers.likelihood is a Nothing, which builds no optimiser; give one of"),
        (Number(), r"build\(updates\) of Number returns a float; let it return an optax.GradientTransformation"),
    ],
)
def test_what_is_no_optimiser_is_refused(config, optimiser, sentence):
    own = dataclasses.replace(load_experiment(config, Experiment), optimisers={"likelihood": optimiser})
    with pytest.raises(UserError, match=sentence):
        assemble(own)
