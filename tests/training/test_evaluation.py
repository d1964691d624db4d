"""An evaluation in parts is the evaluation of the whole: the same draws, the row state carried, the sums added."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxgen.data import pictures
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.running.measuring import Measuring
from jaxgen.training.evaluation import make_evaluation, make_evaluation_of_parts
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler, Parallel
from tests.data.test_folders import folder_of
from tests.worlds import Duel, Histogram


def test_parts_are_summed_to_the_whole():
    """Of a task with noise by row and batch, ragged weights, and rows that each batch hands to the next."""
    data = Pictures(batch_size=40)
    task, batches = Duel().sized(data.spec()), data.evaluation("test")  # nine batches
    variables, key = task.init(jax.random.key(0)), jax.random.key(1)
    cut = [{name: array[first : first + 3] for name, array in batches.items()} for first in (0, 3, 6)]
    whole = make_evaluation(task)(variables, batches, key)
    in_parts = make_evaluation_of_parts(task)(variables, iter(cut), key)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(in_parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("parallel", [Parallel(data=2), Parallel(Compiler.PMAP, data=2)], ids=["jit", "pmap"])
def test_a_split_that_is_too_large_is_measured_in_parts(parallel, tmp_path, monkeypatch):
    """Twenty pictures in batches of four, two batches a part: the last one has a batch of nothing."""
    data = Pictures(name=str(folder_of(tmp_path)), test="train+test", batch_size=4)
    assembly = assemble(Experiment(Histogram(), data, {"histogram": AdamW()}, 1, parallel=parallel))
    variables = assembly.devices.put_evaluated(assembly.task.init(assembly.key))
    whole = Measuring(assembly, "test")(variables)
    monkeypatch.setattr(pictures, "_PART", 2 * 4 * 4 * 6 * 3)
    assert len(data.evaluation_parts("test")) == 3
    measuring = Measuring(assembly, "test")
    found = measuring(variables)
    assert float(found["nats"].weight) == float(whole["nats"].weight) == 20
    np.testing.assert_allclose(found["nats"].total, whole["nats"].total, rtol=1e-6)
    assert measuring.names() == ["bits_per_dim"]


@dataclass(frozen=True)
class OnTheHost(Histogram):
    """What some metrics are: figures that no program can be traced through."""

    def finish(self, sums):
        return {"bits_per_dim": float(sums["nats"].value)}


def test_the_names_of_figures_are_known_before_any_is_measured():
    assembly = assemble(Experiment(OnTheHost(), Pictures(batch_size=40), {"histogram": AdamW()}, 1))
    assert Measuring(assembly, "test").names() == ["bits_per_dim"]
