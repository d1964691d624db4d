"""A run goes on elsewhere as it would have here, a signal waits for one call alone, and nothing is held twice."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxgen.running.assembly import assemble
from jaxgen.running.train_run import train_run
from jaxgen.training.averages import EMA, UniformAverage
from jaxgen.training.feeds import TracedFeed
from jaxgen.training.optimisers import SGD, Adafactor, AdamW, Lion, Muon
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.schedules import Cosine
from tests.commands.test_resume import end_of
from tests.running.test_rollback import experiment, stop_after


def log_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


ELSEWHERE = {Parallel(data=4): (), Parallel(data=2, fsdp=2): (pytest.mark.slow,)}
ELSEWHERE |= {Parallel(compiler=Compiler.PMAP, data=2): (pytest.mark.slow,)}


@pytest.mark.parametrize("parallel", [pytest.param(way, marks=marks) for way, marks in ELSEWHERE.items()], ids=str)
def test_on_another_mesh_it_goes_on_with_the_same_data(parallel, tmp_path):
    """Begun on one device, stopped between two checkpoints, ended on others; ragged weights, rows, shared state."""
    assert train_run(experiment(), tmp_path / "whole", lambda: False) == 20
    assert train_run(experiment(), tmp_path / "moved", stop_after(4)) < 20
    elsewhere = dataclasses.replace(experiment(), parallel=parallel)
    assert train_run(elsewhere, tmp_path / "moved", lambda: False) == 20
    for a, b in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "moved"), strict=True):
        assert list(a) == list(b)
        names = [name for name in a if name != "split"]
        np.testing.assert_allclose([a[name] for name in names], [b[name] for name in names], rtol=2e-5, err_msg=str(a))


def test_a_signal_waits_for_the_call_under_way_and_for_no_more(tmp_path):
    """However many steps the run has left: a call has at most `steps_per_call`, and ends at each checkpoint anyway."""
    many = dataclasses.replace(experiment(), steps=4000, steps_per_call=3)
    assert train_run(many, tmp_path, stop_after(2)) == 8  # calls of 3, 2 and 3 steps
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [5, 8]


@pytest.mark.parametrize("parallel", [Parallel(data=1), Parallel(data=1, fsdp=2)], ids=str)
def test_a_step_holds_the_state_once(parallel):
    """All of it is donated: parameters, optimisers, averages, rows, the source's state."""
    assembly = assemble(dataclasses.replace(experiment(), parallel=parallel))
    devices = assembly.devices
    state = devices.begin(assembly.init, assembly.key, None)
    feed = TracedFeed(assembly.source, devices)
    program = devices.lower(assembly.game, state, feed.example(state), True, assembly.loops).compile()
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    assert program.memory_analysis().alias_size_in_bytes == held


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Muon(Cosine(peak=1e-2)), Adafactor(Cosine(peak=1e-2))),
        (Lion(Cosine(peak=1e-3)), SGD(Cosine(peak=1e-2), momentum=0.9)),
        (AdamW(Cosine(peak=1e-2), clip=0.1), SGD(Cosine(peak=1e-2))),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_optimiser_and_average_goes_on_bit_for_bit(left, right, tmp_path):
    averages = {"slow": EMA(half_life=100), "mean": UniformAverage(start=5)}
    optimisers = {"left": left, "right": right}
    whole = dataclasses.replace(experiment(), optimisers=optimisers, averages=averages)
    assert train_run(whole, tmp_path / "whole", lambda: False) == 20
    assert train_run(whole, tmp_path / "stopped", stop_after(4)) < 20
    assert train_run(whole, tmp_path / "stopped", lambda: False) == 20
    assert end_of(tmp_path / "stopped") == end_of(tmp_path / "whole")
