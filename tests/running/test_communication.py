"""What devices send each other is counted in a program written by hand, and is what the layouts of real ones want."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import math

import jax
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.running.communication import Collective, collectives
from jaxgen.running.compiled import lower_for
from jaxgen.running.estimate import shapes_of
from jaxgen.training.parallel import Parallel
from tests.commands.command import here, jaxgen, told
from tests.families.cases import experiment_of

PROGRAM = """HloModule jit_run, num_partitions=8, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%inner.1 (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %ag = bf16[2,16,96]{2,1,0} all-gather(%w), channel_id=1, replica_groups=mesh['a'=2,'b'=4], device_ids=([8]) {'b'}
  ROOT %t = (s32[], f32[4]) tuple(%i, %x)
}

%outer (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %loop = (s32[], f32[4]) while(%p), condition=%c, body=%inner.1, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %cp = f32[10]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %big = (s32[], f32[4]) while(%p), condition=%c2, body=%outer, backend_config={"known_trip_count":{"n":"5"}}
  %ar = (f32[], f32[100]{0}, /*index=2*/pred[6]{0}) all-reduce(%a, %b, %c), replica_groups={{0,2},{1,3}}, to_apply=%add
  %own = f32[9] all-reduce(%a), replica_groups={{0},{1}}, to_apply=%add
  %rs = f32[7]{0} reduce-scatter(%x), replica_groups=[2,4]<=[8], to_apply=%add, dimensions={0}
  %begun = (bf16[4]{0}, bf16[16]{0}) all-gather-start(%x), replica_groups=[2,4]<=[8], dimensions={0}
  %done = bf16[16]{0} all-gather-done(%begun)
  ROOT %every = f32[5]{0} all-reduce(%x), replica_groups={}, to_apply=%add
}
"""


def test_operations_are_counted_as_often_as_their_loops_run():
    assert collectives(PROGRAM) == [
        Collective("all-gather", 2 * 2 * 16 * 96, group=4, times=15),
        Collective("collective-permute", 40, group=2, times=5),
        Collective("all-reduce", 4 + 400 + 6, group=2, times=1),
        Collective("reduce-scatter", 28, group=4, times=1),
        Collective("all-gather", 32, group=4, times=1),
        Collective("all-reduce", 20, group=8, times=1),
    ]


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("all-gather", 75), ("all-reduce", 150), ("reduce-scatter", 300), ("all-to-all", 75), ("collective-permute", 100)],
)
def test_rings_send_as_little_as_can_be(kind, sent):
    assert Collective(kind, 100, group=4, times=2).sent == 2 * sent


def found(parallel, *settings):
    """The operations of a small Transformer's step, and the shapes of its parameters by their paths."""
    small = ["task.network.width=16", "task.network.blocks=3", "task.network.hidden=32", "data.batch_size=8"]
    experiment = set_fields(load_experiment("transformer/python_docs", Experiment), [*small, *settings])
    return of_step(dataclasses.replace(experiment, parallel=parallel))


def of_step(experiment):
    assembly = assemble(experiment)
    state = shapes_of(assembly)
    return collectives(lower_for(assembly, state).compile().as_text()), state.params


@pytest.mark.parametrize("count", [1, 2, 4])
def test_data_parallel_training_reduces_each_gradient_once(count):
    """And a few sums of the loss and the norm beside them."""
    operations, params = found(Parallel(data=count))
    size = sum(4 * leaf.size for leaf in jax.tree.leaves(params))
    if count == 1:
        assert operations == []
    else:
        assert {(one.kind, one.group) for one in operations} == {("all-reduce", count)}
        assert size <= sum(one.times * one.bytes for one in operations) < size + 200


@pytest.mark.parametrize(("case", "most"), [("gan-stages", 2.3), ("diffusion-unet", 1.01), ("vae-hierarchy", 1.01)])
def test_so_are_those_of_convolutions(case, most):
    """Their kernels' gradients are sums over loops in which nothing is sent.

    Of a discriminator the gradients of the loss and of both penalties are reduced apart.
    """
    operations, params = of_step(dataclasses.replace(experiment_of(case), parallel=Parallel(data=2)))
    size = sum(4 * leaf.size for leaf in jax.tree.leaves(params))
    assert {one.kind for one in operations} == {"all-reduce"}
    sent = sum(one.times * one.bytes for one in operations)
    assert size <= sent < most * size and max(one.times for one in operations) == 1


def test_parameters_cut_over_fsdp_are_gathered_block_by_block_forward_and_backward():
    operations, params = found(Parallel(data=1, fsdp=2), "task.network.scan=true", "task.network.remat=FULL")
    kernels = [leaf for leaf in jax.tree.leaves(params["blocks"]) if leaf.ndim == 3]
    twice = sum(2 * 4 * leaf.size for leaf in kernels)
    once = sum(4 * math.prod(leaf.shape) for name in params if name != "blocks" for leaf in _matrices(params[name]))
    gathers = [one for one in operations if one.kind == "all-gather"]
    assert sum(one.times * one.bytes for one in gathers) == twice + once


def _matrices(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.ndim == 2]


def test_a_pod_that_is_not_here_is_described_by_virtual_devices():
    small = "--set", "task.network.width=16", "task.network.head=16", "data.batch_size=16"
    asked = "describe", "--config", "rnn/digits", *small, "--mesh", "data=8"
    process = jaxgen(*asked, "--on", "NVIDIA A100", "--compile")
    assert process.returncode == 0, process.stderr
    lines = {line.split("  ")[0]: line for line in process.stdout.splitlines()}
    assert "8 x NVIDIA A100 (jit)" in lines["devices"]
    size = 4 * int(lines["parameters"].split()[1].replace(",", ""))
    sent = next(line for line in process.stdout.splitlines() if "all-reduce" in line).split()
    number, unit = float(sent[1]), {"kB": 1e3, "MB": 1e6}[sent[2]]
    assert number * unit == pytest.approx(2 * 7 / 8 * size, rel=0.02)  # a ring of eight
    assert "ms at the maker's 300 GB/s" in lines["communication"]
    assert "did you mean 'NVIDIA A100'" in told(here(*asked, "--on", "NVIDIA A10"))
    assert "say how many there are by --mesh" in told(here(*asked[:-2], "--on", "NVIDIA A100"))
