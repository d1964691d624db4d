"""What `describe` tells of a checkpoint is what it takes on disk, and older, packed ones are read as ever."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.state import TrainState
from jaxgen.experiment import Experiment
from jaxgen.running.assembly import assemble
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.checkpoint_size import checkpoint_bytes
from jaxgen.training.digests import plain_shapes
from tests.commands.command import ROOT


def shapes_of(config: str, *changes: str) -> TrainState:
    assembly = assemble(set_fields(load_experiment(ROOT / config, Experiment), list(changes)))
    return jax.eval_shape(assembly.init, assembly.key)


def filled(shapes: TrainState) -> TrainState:
    """A state with numbers in it that no two bytes of which repeat by a rule, as after training."""
    chance = np.random.default_rng(0)

    def fill(leaf):
        if not np.issubdtype(leaf.dtype, np.floating):
            return np.ones(leaf.shape, leaf.dtype)
        return (0.02 * chance.standard_normal(leaf.shape)).astype(leaf.dtype)

    return jax.tree.map(fill, plain_shapes(shapes))


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        ("configs/rnn/digits.py", ()),  # 2 MB
        ("configs/diffusion/digits.py", ()),  # 16 MB
        ("configs/transformer/python_docs.py", ("task.network.width=384",)),  # 46 MB
    ],
)
def test_a_checkpoint_takes_what_was_told(config, changes, tmp_path):
    shapes = shapes_of(config, *changes)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, filled(shapes), {})
    checkpoints.close()
    files = [path for path in Path(tmp_path / "checkpoints" / "1").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) == pytest.approx(checkpoint_bytes(shapes), rel=0.01)


def test_a_checkpoint_that_was_written_packed_is_read(tmp_path):
    state = filled(shapes_of("configs/rnn/digits.py", "task.network.width=8"))
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state, {"seconds": 1.0})
    checkpoints.wait()
    folder = tmp_path / "checkpoints" / "1" / "state"
    plain = ocp.PyTreeCheckpointer().restore(folder)
    unpacked = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with ocp.StandardCheckpointer() as older:  # as runs were saved before
        older.save(folder, plain, force=True)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < unpacked
    restored, record = checkpoints.restore(state, pytest.fail)
    assert record == {"seconds": 1.0}
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    checkpoints.close()
