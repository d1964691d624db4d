"""What a GAN's figures say of its training, each failure with the setting that helps; and a run that ends by it."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import re

import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.gan.collapse import warning_of
from jaxgen.running.train_run import train_run
from tests.commands.test_resume import end_of

GOOD = {"discriminator_accuracy": 0.6, "margin": 0.3, "p_real": 0.55, "p_fake": 0.45, "recall[net]": 0.8}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recall[net]": 0.03}, "3% of the held-out.*task.gamma"),
        ({"modes_of_1000[net]": 12.0}, "12 kinds of 1000.*task.gamma"),
        ({"discriminator_accuracy": 0.99, "margin": 14.2}, "99%.*14.2.*optimisers.discriminator.learning_rate"),
        ({"p_real": 0.27, "p_fake": 0.3, "margin": -0.02}, "0.27.*0.30.*DiffAugment"),
    ],
)
def test_each_failure_is_told_with_its_setting(changes, told):
    assert warning_of(GOOD) is None
    sentence = warning_of(GOOD | changes)
    assert re.search(told, sentence) and "\n" not in sentence


def small(warnings: int | None) -> Experiment:
    """Of a generator whose learning rate is nothing, so that it makes the same of every latent: noise."""
    found = set_fields(
        load_experiment("gan/digits", Experiment),
        ("task.generator.width=8", "task.generator.blocks=1", "task.discriminator.width=8", "steps=12",
         "steps_per_call=4", "data.batch_size=16", "optimisers.generator.learning_rate.peak=1e-9"),
    )  # fmt: skip
    every = Every(log=4, evaluate=4, sample=12, checkpoint=4)
    return dataclasses.replace(found, every=every, evaluate=Evaluated(examples=64, samples=60, warnings=warnings))


@pytest.mark.parametrize(("warnings", "end"), [pytest.param(None, 12, marks=pytest.mark.slow), (2, 8)])
def test_a_collapsed_run_says_so_and_ends_where_that_is_asked_for(warnings, end, tmp_path, capsys):
    assert train_run(small(warnings), tmp_path, lambda: False) == end
    said = capsys.readouterr().err.splitlines()
    told = [sentence.removeprefix("jaxgen: ") for sentence in said if "collapsed to few kinds" in sentence]
    assert [sentence.split(":")[0] for sentence in told] == [f"step {step}" for step in range(4, end + 1, 4)]
    assert any("2 evaluations in a row gave a warning" in sentence for sentence in said) == (end == 8)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    measured = [line for line in lines if line["split"] == "test"]
    assert all("recall[digits-cnn-a81e]" in line and "frechet_distance[pixels]" in line for line in measured)
    if warnings:
        goes_on_past_null(tmp_path)


def goes_on_past_null(ended) -> None:
    """A figure that was not finite, which is null in metrics.jsonl, is no mistake when the run goes on, and no warning.

    So two more evaluations are needed to end it.
    """
    path = ended / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    last = lines[-1] | {"p_real": None, "margin": None, "recall[digits-cnn-a81e]": None}
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines[:-1], last]))
    assert train_run(dataclasses.replace(small(2), steps=20), ended, lambda: False) == 16


@pytest.mark.slow
def test_a_stopped_run_counts_the_warnings_from_before(tmp_path):
    assert train_run(small(2), tmp_path / "whole", lambda: False) == 8
    calls = iter([False, True])
    train_run(small(2), tmp_path / "stopped", lambda: next(calls, True))
    assert train_run(small(2), tmp_path / "stopped", lambda: False) == 8
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")
