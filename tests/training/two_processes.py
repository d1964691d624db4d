"""A process of two that share a checkpoint: `python -m tests.training.two_processes FOLDER PORT NUMBER`.

It saves a state that is cut over both, goes on with the buffers, and prints what it restores from there.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.core.state import TrainState, without_keys
from jaxgen.errors import UserError
from jaxgen.training.processes import join, leads, told
from jaxgen.training.sharded_checkpoints import ShardedCheckpoints
from jaxgen.types import Extra

RECORD = {"window": {"loss": [1.1, 3.0]}, "seconds": 0.1 + 0.2}


def state_at(step: int) -> TrainState:
    """A kernel and its moment, which are cut, and what every device has whole: drawn from a key, the step among it."""
    key = jax.random.key(step)
    kernel = jax.random.randint(key, (8, 6), 1, 2**24).astype(jax.numpy.float32)  # the same bits compiled or not
    first = TrainState(
        params={"kernel": kernel, "bias": kernel[0]}, opt_state={"mu": {"kernel": -kernel}}, averages={}, extra=Extra(),
        source=jax.random.fold_in(key, 1), key=key, step=0, skipped={},
    )  # fmt: skip
    return first.replace(step=jax.numpy.int32(step))


def layout_over(fsdp: int):
    """Four devices of two processes: kernels are cut over `fsdp` of them, and lie on the others once more."""
    mesh = Mesh(np.array(jax.devices()).reshape(-1, fsdp), ("data", "fsdp"))

    def lies(leaf) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec("fsdp") if leaf.shape == (8, 6) else PartitionSpec())

    return lambda state: jax.tree.map(lies, state)


def main(folder: Path, port: str, number: int) -> None:
    join(f"127.0.0.1:{port}", 2, number)
    layout, shapes = layout_over(4), jax.eval_shape(state_at, 0)
    made = jax.jit(state_at, static_argnums=0, out_shardings=layout(shapes))
    moved = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, without_keys(state)), donate_argnums=0)
    checkpoints = ShardedCheckpoints(folder, 2, None, layout)
    for step in (1, 2, 3):
        state = made(step)
        checkpoints.save(step, state, RECORD)
        jax.block_until_ready(moved(state))  # the buffers are another's while they are written
    checkpoints.close()
    for name, fsdp in (("as it lay", 4), ("on another mesh", 2)):
        checkpoints = ShardedCheckpoints(folder, 2, None, layout_over(fsdp))
        _print(name, checkpoints.restore(shapes, _warn))
        if leads() and fsdp == 4:
            _spoil(folder / "checkpoints" / "3")
        told(b"")
        checkpoints.close()
    try:
        ShardedCheckpoints(folder if leads() else folder / "elsewhere", 2, None, layout)
    except UserError as error:
        print(json.dumps({"name": "another disk", "said": str(error)}))


def _spoil(checkpoint: Path) -> None:
    """One bit of the last file of arrays."""
    file = sorted(path for path in (checkpoint / "state").rglob("d/*") if path.stat().st_size > 100)[-1]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _warn(sentence: str) -> None:
    print(json.dumps({"name": "warned", "said": sentence}))


def _print(name: str, found: tuple[TrainState, dict]) -> None:
    """What this process holds of the restored kernel, by the first row of each shard, and all of the rest."""
    state, record = found
    kernel = state.params["kernel"]
    shards = {shard.index[0].start or 0: np.asarray(shard.data).tolist() for shard in kernel.addressable_shards}
    rest = [np.asarray(jax.random.key_data(key)).tolist() for key in (state.key, state.source)]
    moment = all(
        np.array_equal(-np.asarray(a.data), np.asarray(b.data))
        for a, b in zip(kernel.addressable_shards, state.opt_state["mu"]["kernel"].addressable_shards, strict=True)
    )
    said = {"shards": shards, "keys": rest, "bias": np.asarray(state.params["bias"]).tolist(), "moment": moment}
    print(json.dumps({"name": name, "step": int(state.step), "record": record, **said}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
