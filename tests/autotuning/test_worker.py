"""A worker's candidates compute the same from the same weights, however they are compiled and whoever had a turn."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.autotuning.worker import Worker
from jaxgen.running.command_line import Changes
from jaxgen.timing.contest import check_parity

SMALL = ["task.network.width=16", "task.network.heads=2", "task.network.blocks=2", "data.batch_size=8"]
WAYS = {"scan": ["task.network.scan=true"], "remat": ["task.network.remat=FULL"], "one device": ["parallel.data=1"]}


@pytest.fixture(scope="module")
def worker():
    worker = Worker("transformer/digits", Changes((*SMALL, "parallel.data=2")))
    worker.first = worker.prepare("first", [])
    return worker


@pytest.mark.parametrize("way", ["scan", *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS if way != "scan")])
def test_losses_and_gradients_stay_as_they_are(worker, way):
    """With dropout: a row's draws depend on its number and its block's alone."""
    found = worker.prepare(way, WAYS[way])
    check_parity(way, "first", worker.first["results"], way, found["results"], 1e-4)
    assert found["examples"] == 8 and found["most_devices"] == 4 and found["loops"]
    worker.drop(way)


def test_a_turn_goes_on_where_the_last_one_ended(worker):
    step = int(worker._timed["first"]._training.state.step)
    worker.resume("first")
    worker.block("first", 2)
    taken = 2 * worker._timed["first"].per_call
    worker.prepare("other", ["steps_per_call=1"])
    worker.resume("first")
    worker.block("first", 1)
    assert int(worker._timed["first"]._training.state.step) == step + taken * 3 // 2
    worker.drop("other")


def test_steps_a_call_share_a_program(worker):
    before = len(worker._programs)
    assert worker.prepare("single steps", ["steps_per_call=1"])["steps_per_call"] == 1
    assert len(worker._programs) == before
