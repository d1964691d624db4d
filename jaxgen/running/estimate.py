"""What a run will need of its devices, told from its shapes and its traced step alone, and what they have."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr

from jaxgen.core.data import Traced
from jaxgen.core.masks import split
from jaxgen.core.state import TrainState
from jaxgen.environment import free_memory
from jaxgen.running.assembly import Assembly
from jaxgen.running.chips import chip_of
from jaxgen.running.product_rate import product_rate
from jaxgen.training.costs import Costs
from jaxgen.training.feeds import Devices
from jaxgen.training.parallel import JitDevices, Parallel

UTILISATION = 0.3  # of the peak: an assumption, not a measurement; small networks reach far less on an accelerator
_PRODUCT = 1024  # width of the matrices whose product is measured on a CPU

_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Memory:
    """Bytes on each device; the data themselves, where they live there, are not among them."""

    parameters: int
    optimiser: int
    averages: int
    others: int  # state without gradients, keys, the source's state, other runs that are parts
    gradients: int
    activations: int  # whatever else a step holds at one time

    @property
    def total(self) -> int:
        return sum(vars(self).values())


@dataclass(frozen=True)
class Estimate:
    """A step's floating-point operations, over all devices, and its memory."""

    flops: float
    half_flops: float  # those of them that are products in bfloat16
    memory: Memory


def shapes_of(assembly: Assembly) -> TrainState:
    """The shapes of the state."""
    return jax.eval_shape(assembly.init, assembly.key)


def estimate(assembly: Assembly, state: TrainState) -> Estimate:
    """Of one step; `state` are shapes. Samples count too that a reward is traced for; other batches are given."""
    costs, jaxpr = Costs(), traced_step(assembly, state).jaxpr.jaxpr
    flops, halves = costs.flops(jaxpr), costs.flops(jaxpr, halves=True)
    peak = peak_beside(state, jaxpr, costs)
    return Estimate(flops, halves, memory(assembly, state, peak, _gathered(assembly, state, peak, costs)))


def _gathered(assembly: Assembly, state: TrainState, peak: int, costs: Costs) -> int:
    """The bytes by which a device's peak rises where parameters are gathered over fsdp, not over tensor, to be read."""
    devices = assembly.devices
    if not isinstance(devices, JitDevices) or devices.mesh.shape["fsdp"] == 1:
        return 0
    jaxpr = traced_step(assembly, state, devices).jaxpr.jaxpr
    return max(0, peak_beside(state, jaxpr, costs) - peak) // devices.mesh.shape["tensor"]


def traced_step(assembly: Assembly, state: TrainState, devices: JitDevices | None = None) -> jax.stages.Traced:
    """One step of the whole batch, traced from the state's shapes: on one device, or as written for `devices`."""
    game = assembly.game
    device = Parallel(data=1).place(game.batch_size) if devices is None else devices
    traced = assembly.experiment.rewards is not None and isinstance(assembly.source, Traced)
    feed = jax.eval_shape(lambda: assembly.source) if traced else (_stacked(assembly.batch()),) * game.draws
    arguments = state, feed, np.int32(1), assembly.part_shapes
    return device.program(game, state, traced, loops=False).trace(*arguments)


def peak_beside(state: TrainState, jaxpr: Jaxpr, costs: Costs) -> int:
    """The most bytes that a program (state, ...) -> (state, ...) holds beside its arguments; the state is donated."""
    leaves = len(jax.tree.leaves(state))
    return costs.peak_bytes(jaxpr, [number < leaves for number in range(len(jaxpr.outvars))])


def memory(assembly: Assembly, state: TrainState, peak: int | None = None, gathered: int = 0) -> Memory:
    """Of the state as it lies on the devices, and where `peak` of a step of the whole batch is known of that too.

    `gathered` bytes of parameters are brought together on each device at one time.
    """
    devices = assembly.devices
    moving, _ = split(state.params, assembly.game.moving(state.params))
    held = functools.partial(_bytes, devices=devices, state=state)
    gradients = held("params", moving)
    activations = gathered + (0 if peak is None else max(0, peak - _all_bytes(moving)) // devices.parts)
    parts = [held(name, getattr(state, name)) for name in ("params", "opt_state", "averages")]
    others = held("extra", state.extra) + held("source", state.source) + held("key", state.key)
    others += _all_bytes(assembly.part_shapes)  # whole on each device
    return Memory(*parts, others, gradients, activations)


def _bytes(name: str, part: Any, devices: Devices, state: TrainState) -> int:
    """The bytes of a part of the state on one device; of parameters `part` may be some alone."""
    if not isinstance(devices, JitDevices):
        rows = _all_bytes(state.extra.rows) if name == "extra" else 0
        return _all_bytes(part) - rows + rows // devices.parts
    layout = getattr(devices.layout(state.replace(params=part) if name == "params" else state), name)
    shards = jax.tree.map(lambda leaf, lies: _size(lies.shard_shape(leaf.shape)) * leaf.dtype.itemsize, part, layout)
    return sum(jax.tree.leaves(shards))


def _all_bytes(tree: Any) -> int:
    return sum(_size(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _stacked(batch: Any) -> Any:
    """One batch as a call of one step is fed it: [1, B, ...]."""
    return jax.eval_shape(lambda: jax.tree.map(lambda one: jnp.zeros((1, *one.shape), one.dtype), batch))


def device_bytes() -> int | None:
    """The memory of one of this process's devices, bytes; None where nothing tells.

    The devices of a CPU share what the machine has free, or what its control group allows where that is less.
    """
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats()
        return None if stats is None else stats.get("bytes_limit")
    found = [size for size in (free_memory(), *map(_limit, _GROUPS)) if size is not None]
    return min(found) // jax.local_device_count() if found else None


def warning(needed: int, there_is: int | None) -> str | None:
    """The sentence about a run that needs more bytes of a device than `there_is`; None if it fits or none are known."""
    if there_is is None or needed <= there_is:
        return None
    return (
        f"this run needs about {told(needed)} of each device and there are {told(there_is)}: it may fail for "
        "want of memory; lower data.batch_size, raise accumulate, or spread it over more devices (--mesh fsdp=N)"
    )


def told(size: int) -> str:
    """Bytes as people say them: 999 B, 1.2 kB, 3.4 GB."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def _limit(file: Path) -> int | None:
    """A control group's limit, which stands in a file of its own or is the word `max`."""
    try:
        text = file.read_text().strip()
    except OSError:  # no such group
        return None
    return int(text) if text.isdecimal() else None


@dataclass(frozen=True)
class Rate:
    """FLOP/s of a device, of products in bfloat16 apart, and where the figures are from."""

    flops: float
    half_flops: float
    source: str


def assumed_rate(kind: str) -> Rate | None:
    """What a device of this kind, as JAX calls it, may be expected to do; None for a kind that is not known."""
    if kind == "cpu":
        rate = UTILISATION * product_rate(_PRODUCT) / jax.local_device_count()  # devices of one CPU share its cores
        return Rate(rate, rate, f"{UTILISATION:.0%} of a matrix product, measured now")
    chip = chip_of(kind)
    if chip is None:
        return None
    rates = UTILISATION * chip.flops, UTILISATION * chip.half_flops
    return Rate(*rates, f"{UTILISATION:.0%} of the maker's figures")
