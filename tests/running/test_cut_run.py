"""A run whose mesh cuts its parameters is read back in parts: no device holds all, and its figures are the same."""
# SPDX-License-Identifier: Apache-2.0

import json

import jax
import numpy as np
import pytest

from jaxgen.core.masks import by_path, size_of
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.modalities.presents import request_for
from jaxgen.running.bounded import Evaluation, Sampling
from jaxgen.running.shown import read_shown
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.gathering import as_they_lie
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel


def test_it_is_evaluated_and_sampled_as_it_lies(tmp_path):
    network, data = RecurrentNetwork(width=16, embedding=8), Pictures(batch_size=64)
    adam, mesh = {"likelihood": AdamW(1e-2)}, Parallel(data=1, fsdp=2)
    experiment = Experiment(LanguageModel(network), data, adam, 2, every=Every(2, 2, 2, 2), parallel=mesh)
    run = tmp_path / "run"
    assert train_run(experiment, run, lambda: False) == 2
    trained = load_trained(run, None, print)
    lies, saved = as_they_lie(trained.variables.params), by_path(read_shown(run, "run", print)[1])
    for path, leaf in by_path(lies).items():
        np.testing.assert_array_equal(leaf, saved[path], err_msg=path)
    held = [sum(leaf.addressable_shards[device].data.size for leaf in jax.tree.leaves(lies)) for device in (0, 1)]
    assert max(held) < 0.55 * size_of(lies)  # what two does not divide is whole
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (told,) = [line for line in lines if line["split"] == "test" and line["step"] == 2]
    figures = Evaluation(trained.assembly, "test").figures(trained.assembly.devices.put_evaluated(trained.variables))
    assert figures == {name: pytest.approx(told[name], rel=1e-6) for name in figures}
    request = request_for(data.first("test", 8))
    cut, whole = (
        Sampling(trained.assembly)(variables, request, jax.random.key(1))["made"]["value"]
        for variables in (trained.variables, jax.device_get(trained.variables.replace(params=lies)))
    )
    assert np.mean(cut == whole) > 0.98  # a rounding may fall the other way
