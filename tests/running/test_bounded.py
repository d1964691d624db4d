"""Evaluation and sampling in bounded parts are those of the whole: same draws, carried row state, added sums."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxgen.core.mean import Mean
from jaxgen.data import pictures
from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Experiment
from jaxgen.ops.rows import normal
from jaxgen.running import bounded
from jaxgen.running.assembly import assemble
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler, Parallel
from tests.data.test_folders import folder_of
from tests.worlds import Duel, Histogram


def of(task, data, **how):
    optimisers = {turn.name: AdamW() for turn in task.turns()}
    return assemble(Experiment(task, data, optimisers, 1, **how))


def test_the_sums_do_not_depend_on_the_batches_nor_on_what_a_batch_is_taken_in(monkeypatch):
    """Of a task with noise by row: 360 digits in batches of 40 and of 24; in whole batches, and in eighths of one."""
    totals = []
    for size, share in ((40, 1.0), (24, 1.0), (40, 0.0)):
        monkeypatch.setattr(bounded, "_SHARE", share)
        assembly = of(Noisy(), Pictures(batch_size=size), parallel=Parallel(data=1))
        evaluation = bounded.Evaluation(assembly, "test")
        totals.append(evaluation(assembly.task.init(jax.random.key(0)))["nats"])
        assert evaluation._halvings == (1 if share else 8)  # 40 rows halve to 5
    for total in totals[1:]:
        np.testing.assert_allclose([total.total, total.weight], [totals[0].total, totals[0].weight], rtol=1e-6)


@dataclass(frozen=True)
class Noisy(Histogram):
    """A histogram whose likelihoods are told with noise of each row's own."""

    def evaluate(self, variables, batch, key):
        noise = normal(key, batch["row"], ())
        return {"nats": Mean.of(noise - self.log_prob(variables, batch, key), batch["weight"])}, None


def test_rows_carried_from_batch_to_batch_are_carried_in_their_order():
    """Each batch's accuracy depends on the rows that the one before it left: one batch at a time gives the same."""
    data = Pictures(batch_size=40)
    assembly = of(Duel(), data, parallel=Parallel(data=1))
    variables, task = assembly.task.init(jax.random.key(0)), assembly.task
    found = bounded.Evaluation(assembly, "test")(variables)["nats"]
    batches, rows, total = data.evaluation("test"), task.rows(40), 0.0
    for number in range(9):
        batch = jax.tree.map(lambda array, n=number: array[n], batches)
        key = jax.random.fold_in(assembly.key, 3)
        sums, rows = task.evaluate(variables.replace(extra=variables.extra.replace(rows=rows)), batch, key)
        total += float(sums["nats"].total)
    np.testing.assert_allclose(found.total, total, rtol=1e-6)


def test_the_first_examples_alone_are_evaluated_where_so_many_are_asked_for():
    assembly = of(Histogram(), Pictures(batch_size=40))
    variables = assembly.devices.put_evaluated(assembly.task.init(jax.random.key(0)))
    evaluation = bounded.Evaluation(assembly, "test", 50)
    found = evaluation(variables)["nats"]
    batch = Pictures().first("test", 50) | {"row": np.arange(50)}
    expected = -assembly.task.log_prob(variables, batch, None).sum()
    assert found.weight == evaluation.weighed == 50
    np.testing.assert_allclose(found.total, expected, rtol=1e-6)


def test_samples_are_the_same_whatever_the_parts(monkeypatch):
    assembly = of(Histogram(), Pictures(batch_size=40))
    variables, request = assembly.task.init(jax.random.key(0)), {"row": np.arange(50), "given": {}}
    whole = bounded.Sampling(assembly)(variables, request, jax.random.key(1))["made"]["value"]
    monkeypatch.setattr(bounded, "_MOST_ROWS", 16)
    parts = bounded.Sampling(assembly)(variables, request, jax.random.key(1))["made"]["value"]
    np.testing.assert_array_equal(whole, parts)
    assert len(whole) == 50


def test_a_stop_is_heard_between_two_batches():
    assembly, asked = of(Histogram(), Pictures(batch_size=40)), []
    variables = assembly.devices.put_evaluated(assembly.task.init(jax.random.key(0)))
    with pytest.raises(bounded.Stopped):
        bounded.Evaluation(assembly, "test")(variables, lambda: asked.append(1) or len(asked) == 3)
    assert len(asked) == 3


@pytest.mark.parametrize("parallel", [Parallel(data=2), Parallel(Compiler.PMAP, data=2)], ids=["jit", "pmap"])
def test_a_split_that_is_too_large_is_measured_in_parts(parallel, tmp_path, monkeypatch):
    """Twenty pictures in batches of four, two batches a part: the last one has a batch of nothing."""
    data = Pictures(name=str(folder_of(tmp_path)), test="train+test", batch_size=4)
    assembly = assemble(Experiment(Histogram(), data, {"histogram": AdamW()}, 1, parallel=parallel))
    variables = assembly.devices.put_evaluated(assembly.task.init(assembly.key))
    whole = bounded.Evaluation(assembly, "test")(variables)
    monkeypatch.setattr(pictures, "_PART", 2 * 4 * 4 * 6 * 3)
    assert len(data.evaluation_parts("test")) == 3
    evaluation = bounded.Evaluation(assembly, "test")
    found = evaluation(variables)
    assert float(found["nats"].weight) == float(whole["nats"].weight) == evaluation.weighed == 20
    np.testing.assert_allclose(found["nats"].total, whole["nats"].total, rtol=1e-6)
    assert evaluation.names() == ["bits_per_dim"]


@dataclass(frozen=True)
class OnTheHost(Histogram):
    """What some metrics are: figures that no program can be traced through."""

    def finish(self, sums):
        return {"bits_per_dim": float(sums["nats"].value)}


def test_the_names_of_figures_are_known_before_any_is_measured():
    assembly = assemble(Experiment(OnTheHost(), Pictures(batch_size=40), {"histogram": AdamW()}, 1))
    assert bounded.Evaluation(assembly, "test").names() == ["bits_per_dim"]
