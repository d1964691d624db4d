"""Two real processes save a state that neither holds whole; both, and one process alone, read it bit for bit."""
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.checkpoint_files import read_content
from tests.commands.test_processes import devices, free_port
from tests.training.two_processes import RECORD, state_at


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[Path, list[dict[str, dict]]]:
    """The folder, and what each process told, by the name of what it did."""
    folder, port = tmp_path_factory.mktemp("run"), str(free_port())
    command = (sys.executable, "-m", "tests.training.two_processes", str(folder), port)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen((*command, str(number)), env=devices(2), **pipes) for number in (0, 1)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    lines = [[json.loads(line) for line in out.splitlines() if line.startswith("{")] for out, _ in said]
    return folder, [{line["name"]: line for line in each} for each in lines]


@pytest.mark.parametrize(
    ("name", "step", "firsts"), [("as it lay", 3, ([0, 2], [4, 6])), ("on another mesh", 2, ([0, 4], [0, 4]))]
)
def test_each_process_reads_its_own_shards_bit_for_bit(told, name, step, firsts):
    """The second time the newest has lost a bit, and the one before it is read, by a mesh of another shape."""
    expected = state_at(step)
    kernel = np.asarray(expected.params["kernel"])
    for each, rows in zip(told[1], firsts, strict=True):
        found = each[name]
        assert found["step"] == step and found["record"] == RECORD and found["moment"]
        assert sorted(map(int, found["shards"])) == rows
        for first, values in found["shards"].items():
            np.testing.assert_array_equal(np.float32(values), kernel[int(first) :][: len(values)])
        assert found["bias"] == np.asarray(expected.params["bias"]).tolist()
        assert found["keys"] == [jax.random.key_data(key).tolist() for key in (expected.key, expected.source)]


def test_a_damaged_checkpoint_is_named_and_put_aside_once(told):
    folder, each = told
    for said in each:
        assert "the checkpoint of step 3 is damaged (the bytes of state/" in said["warned"]["said"]
    assert [path.name for path in (folder / "damaged").iterdir()] == ["checkpoint-3"]


def test_a_process_on_another_disk_ends_all_with_one_sentence(told):
    assert "process 1 does not see" in told[1][1]["another disk"]["said"]
    assert told[1][0]["another disk"]["said"] == "process 1: " + told[1][1]["another disk"]["said"]
    assert not list(told[0].glob(".seen*"))


def test_one_process_reads_what_two_have_saved_in_parts_and_finds_a_lost_bit(told):
    folder, expected = told[0], state_at(2)
    leaves = read_content(folder / "checkpoints" / "2")["leaves"]
    assert "sha256" not in leaves["params/kernel"] and "sha256" in leaves["params/bias"]
    warned: list[str] = []
    state, record = _restored(folder, warned)
    assert record == RECORD and not warned
    for found, wanted in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_array_equal(found, wanted)
    (folder / "damaged" / "checkpoint-3").rename(folder / "checkpoints" / "3")
    assert int(_restored(folder, warned)[0].step) == 2
    assert len(warned) == 1 and "step 3 is damaged" in warned[0]


def _restored(folder: Path, warned: list[str]):
    checkpoints = Checkpoints(folder, keep=None)
    try:
        return checkpoints.restore(jax.eval_shape(state_at, 0), warned.append)
    finally:
        checkpoints.close()
