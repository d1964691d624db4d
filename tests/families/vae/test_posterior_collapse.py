"""Posterior collapse is told, of all latents and of single layers, with the setting that helps."""
# SPDX-License-Identifier: Apache-2.0

import json
import re

import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.families.vae.posterior_collapse import warning_of
from jaxgen.running.train_run import train_run

LAYERS = {"kl_nats_per_example": 9.0, "kl_nats_layer_0": 5.0, "kl_nats_layer_1": 4.0}


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"kl_nats_per_example": 9.0}, None),
        (LAYERS, None),
        ({"kl_nats_per_example": 0.001}, "0.001 nats.*objective.warmup"),
        (LAYERS | {"kl_nats_layer_1": 0.01}, "layer 1 of 2 carry"),
        (LAYERS | {"kl_nats_layer_2": 0.01, "kl_nats_layer_1": 0.0}, "layers 1, 2 of 3 carry"),
    ],
)
def test_what_is_told(figures, told):
    sentence = warning_of(figures)
    assert sentence is None if told is None else re.search(told, sentence)


def test_a_large_beta_collapses_the_posterior_and_the_run_says_so(tmp_path, capsys):
    changes = ("task.objective.beta=300", "task.prior=none", "task.encoder.width=16", "task.decoder.width=16",
               "task.importance_samples=1", "steps=150", "steps_per_call=50", "data.batch_size=32", "every.log=50",
               "every.evaluate=150", "every.sample=150", "every.checkpoint=150")  # fmt: skip
    train_run(set_fields(load_experiment("vae/digits", Experiment), changes), tmp_path, lambda: False)
    assert "the posterior has collapsed" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["kl_nats_per_example"] < 0.05
