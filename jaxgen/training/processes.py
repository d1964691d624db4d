"""Several processes that train one run: how they meet, who writes, and how they come to one mind."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.core.state import is_key, with_keys, without_keys
from jaxgen.errors import UserError

_MESSAGE = 2**28  # bytes that process 0 tells the others at a time
_SILENT = 30  # seconds after which a process that gives no sign of life counts as dead


def join(coordinator: str | None, processes: int | None, process: int | None) -> str | None:
    """Meet the other processes, if there are any, and say where; None for a process alone. Before JAX's first use.

    All three are given by hand, or none: then SLURM, Open MPI, Kubernetes or the workers of a TPU pod in Kubernetes are
    asked, as JAX finds them. UserError when the processes do not meet.
    """
    by_hand = (coordinator, processes, process)
    if any(value is not None for value in by_hand):
        check(coordinator, processes, process)
        cluster, detection = f"process {process} of {processes}, by {coordinator}", "deactivate"
    else:
        cluster, detection = surrounding(os.environ), None
    if cluster is None:
        return None
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # signals are the command's own to note
    try:
        # by hand nothing is asked of a launcher: in a SLURM shell JAX would leave all of them one GPU, the same
        jax.distributed.initialize(*by_hand, cluster_detection_method=detection, heartbeat_timeout_seconds=_SILENT)
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"the processes did not meet ({cluster}: {first}); start all of them where they reach each other"
        ) from None
    return cluster


def check(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """UserError where what is given by hand is no meeting."""
    if None in (coordinator, processes, process):
        raise UserError("--coordinator, --processes and --process belong together; give all three, or none")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--coordinator {coordinator}: write HOST:PORT of process 0, such as node1:29500")
    if not 0 <= process < processes:
        raise UserError(f"--process {process}: {processes} processes are numbered from 0 to {processes - 1}")


def surrounding(environment: Mapping[str, str]) -> str | None:
    """The launcher that has started this process as one of several, where JAX can ask it for the others; else None."""
    slurm = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
    if all(name in environment for name in slurm) and int(environment["SLURM_NTASKS"]) > 1:
        return f"task {environment['SLURM_PROCID']} of {environment['SLURM_NTASKS']} of SLURM"
    if "OMPI_MCA_orte_hnp_uri" in environment and int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return f"rank {environment['OMPI_COMM_WORLD_RANK']} of {environment['OMPI_COMM_WORLD_SIZE']} of Open MPI"
    hosts = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES", "")).split(",")
    slices = int(environment.get("MEGASCALE_NUM_SLICES") or 1)
    if "TPU_WORKER_ID" in environment and len(hosts) * slices > 1 and _has("libtpu"):
        part = f", slice {environment.get('MEGASCALE_SLICE_ID', 0)} of {slices}" if slices > 1 else ""
        return f"worker {environment['TPU_WORKER_ID']} of {len(hosts)} of a TPU pod{part}"
    if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= set(environment) and _has("kubernetes"):
        return f"pod {environment['JOB_COMPLETION_INDEX']} of a job of Kubernetes"
    return None


def joined() -> bool:
    """Whether `join` has met others; asks no device."""
    return jax.distributed.is_initialized()


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def several() -> bool:
    """Whether other processes train beside this one."""
    return jax.process_count() > 1


def leads() -> bool:
    """Whether this is the one process that reads and writes the run's folder and speaks to the user."""
    return jax.process_index() == 0


def told(content: bytes) -> bytes:
    """What process 0 has given, at every process."""
    if not several():
        return content
    # as bytes: JAX would make of a 64-bit number one of 32, which ends at 2 GiB
    size = int.from_bytes(_sent(len(content).to_bytes(8, "little"), 8), "little")
    return _sent(content, size)


def _sent(content: bytes, size: int) -> bytes:
    """The `size` bytes that process 0 has given, at every process, in messages of a bounded size."""
    messages = []
    for first in range(0, size, _MESSAGE):
        length = min(_MESSAGE, size - first)
        sent = np.frombuffer(content, np.uint8, length, first) if leads() else np.zeros(length, np.uint8)
        messages.append(np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes())
    return b"".join(messages)


def told_tree(tree: Any, like: Any) -> Any:
    """Process 0's arrays at every process, bit for bit (a sum with zeros would turn -0.0 into 0.0); host arrays.

    `like` has their shapes; its typed keys come as keys.
    """
    shapes = jax.eval_shape(without_keys, like)
    wanted = jax.tree.leaves(shapes)
    given = jax.tree.leaves(jax.device_get(without_keys(tree))) if leads() else [np.empty(0)] * len(wanted)
    leaves = []
    for leaf, shape in zip(given, wanted, strict=True):  # one by one: all of them in one copy more may not fit the host
        content = _sent(np.ascontiguousarray(leaf).tobytes(), shape.size * shape.dtype.itemsize)
        leaves.append(np.frombuffer(content, shape.dtype).reshape(shape.shape))
    return with_keys(jax.tree.unflatten(jax.tree.structure(shapes), leaves), like)


def agree_on(document: Any) -> None:
    """UserError where this process was given another document than process 0; no process goes on alone with it."""
    if not several():
        return
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    if told(digest) != digest:
        raise UserError(
            f"process {jax.process_index()} was given another experiment than process 0; start all with one command"
        )


def laid_out(tree: Any, layout: Any) -> Any:
    """Arrays that every process has whole, each device holding its part; no process sends another anything."""
    if not several():
        return jax.device_put(tree, layout)
    if isinstance(layout, NamedSharding):
        return jax.tree.map(lambda array: _laid_out(array, layout), tree)
    return jax.tree.map(_laid_out, tree, layout)


def _laid_out(array: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(array, jax.Array) and is_key(array):
        return jax.random.wrap_key_data(_laid_out(jax.random.key_data(array), sharding))
    if isinstance(array, jax.Array) and not array.is_fully_addressable:  # restored as it lies
        return jax.device_put(array, sharding)
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def laid_out_rows(tree: Any, sharding: NamedSharding, rows: np.ndarray, size: int) -> Any:
    """Arrays [K, b, ...] of which this process has the rows `rows` as [K, `size`, ...] over all processes' devices."""
    if not several():
        return jax.device_put(tree, sharding)

    def whole(array: np.ndarray) -> jax.Array:
        shape = (len(array), size, *array.shape[2:])

        def part(index: tuple[slice, ...]) -> np.ndarray:
            return array[:, np.searchsorted(rows, np.arange(size)[index[1]])]

        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(whole, tree)


def gathered(tree: Any) -> Any:
    """Arrays whose parts other processes hold, whole at every process; all else as it is."""

    def whole(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        if leaf.is_fully_replicated:
            return leaf.addressable_shards[0].data
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)


def said_by_all(sentence: str) -> list[str]:
    """What each process has to say, at all of them; of each its first 500 bytes. All must ask."""
    content = sentence.encode()[:500]
    sent = np.zeros(500, np.uint8)
    sent[: len(content)] = np.frombuffer(content, np.uint8)
    rows = multihost_utils.process_allgather(sent).reshape(-1, 500)
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows]


def refuse_together(mistake: UserError | None) -> None:
    """Raise a mistake of this process, or the first of another's: all leave at the same place. All must ask."""
    if several():
        said = said_by_all("" if mistake is None else str(mistake))
        number = next((number for number, sentence in enumerate(said) if sentence), None)
        if mistake is None and number is not None:
            raise UserError(f"process {number}: {said[number]}")
    if mistake is not None:
        raise mistake


class Vote:
    """Whether any process was asked to stop, the same answer at every process.

    Each call sends this process's answer off and reads what all had said one call before, which is there by then: a
    step never waits for it.
    """

    def __init__(self, asked: Callable[[], bool]):
        self._asked = asked
        mesh = Mesh(np.array(jax.devices()), ("device",))
        self._sharding = NamedSharding(mesh, PartitionSpec("device"))
        self._any = jax.jit(lambda flags: flags.any(), out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._last: jax.Array | None = None

    def __call__(self) -> bool:
        flag = np.array([self._asked()])
        flags = jax.make_array_from_callback((jax.device_count(),), self._sharding, lambda _: flag)
        before, self._last = self._last, self._any(flags)
        return before is not None and bool(before)
