"""The memory that is told of a run is that of its state as it lies on the devices, and who does not fit is warned."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import jax
import pytest

from jaxgen.commands.describe import describe, description
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.running import trainer
from jaxgen.running.assembly import assemble
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.running.compiled import compile_for
from jaxgen.running.estimate import device_bytes, memory, shapes_of, told, warning
from jaxgen.running.train_run import train_run
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler, Parallel
from tests.commands.command import ROOT
from tests.worlds import Histogram

RNN = str(ROOT / "configs/rnn/digits.py")


def assembled(*changes: str, parallel: Parallel):
    experiment = set_fields(load_experiment(RNN, Experiment), ["task.network.width=16", *changes])
    return assemble(dataclasses.replace(experiment, parallel=parallel))


@pytest.mark.parametrize(
    "parallel",
    [Parallel(data=2), Parallel(data=1, fsdp=2, tensor=2), Parallel(Compiler.PMAP, data=2)],
    ids=["data", "fsdp and tensor", "pmap"],
)
def test_the_state_takes_what_was_told(parallel):
    assembly = assembled(parallel=parallel)
    found = memory(assembly, shapes_of(assembly))
    state = assembly.devices.begin(assembly.init, assembly.key, None)
    device = jax.devices()[0]

    def held(tree) -> int:
        leaves = [leaf for leaf in jax.tree.leaves(tree) if not jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
        return sum(s.data.nbytes for leaf in leaves for s in leaf.addressable_shards if s.device == device)

    assert (found.parameters, found.optimiser, found.averages) == (
        held(state.params),
        held(state.opt_state),
        held(state.averages),
    )
    assert found.gradients == found.parameters


def test_data_that_live_on_the_device_are_among_what_the_program_holds():
    assembly = assembled(parallel=Parallel(data=1))
    state = memory(assembly, shapes_of(assembly))
    data = sum(leaf.nbytes for leaf in jax.tree.leaves(assembly.source))
    held = compile_for(assembly, shapes_of(assembly)).memory
    assert data > 64 * 1437
    assert held.arguments >= state.parameters + state.optimiser + state.averages + data
    assert held.peak > held.arguments


def test_a_run_that_does_not_fit_is_warned_of_once_and_goes_on(tmp_path, capsys, monkeypatch):
    data, adam = Pictures(batch_size=16), {"histogram": AdamW()}
    assembly = assemble(Experiment(Histogram(), data, adam, 2, every=Every(2, 2, 2, 2), parallel=Parallel(data=1)))
    needed = memory(assembly, shapes_of(assembly)).total
    assert warning(needed, None) is None
    assert warning(needed, needed) is None
    for name, there_is, times in (("small", needed - 1, 1), ("middle", needed, 1), ("large", 2**40, 0)):
        monkeypatch.setattr(trainer, "device_bytes", lambda there_is=there_is: there_is)
        assert train_run(assembly.experiment, tmp_path / name, lambda: False) == 2
        assert capsys.readouterr().err.count("of each device and there are") == times, name


def test_this_machine_has_memory_and_it_is_told_as_people_say_it():
    assert device_bytes() > 2**20
    assert [told(size) for size in (0, 999, 1_000, 23_456_789, 12_200_000_000)] == ["0 B", "999 B", "1.0 kB", "23.5 MB", "12.2 GB"]  # fmt: skip  # noqa: E501


def test_xla_says_of_the_very_program_what_it_holds():
    changes = Changes(("task.network.width=16", "data.batch_size=16"), mesh="data=1")
    assembly = assemble(chosen_experiment(RNN, changes))
    lines = list(description(assembly, compiles=True))
    assert any(line.startswith("compiled by XLA") for line in lines)
    assert not any(line.strip().startswith("temporary") and line.endswith(" 0 B") for line in lines)


def test_the_time_is_told_at_the_pace_of_a_run():
    assembly = assembled("steps=600", "data.batch_size=64", parallel=Parallel(data=1))
    (line,) = [line for line in description(assembly, pace=640.0) if line.startswith("time")]
    assert "about 60 s at the 640 examples/s of that run" in line


def test_a_run_without_a_pace_is_refused(tmp_path):
    with pytest.raises(UserError, match="tells no pace"):
        describe(RNN, Changes(), str(tmp_path))
