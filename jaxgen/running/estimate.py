"""What a run will need of its devices, from its shapes and its traced step; nothing is allocated or compiled."""
# SPDX-License-Identifier: Apache-2.0

import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr

from jaxgen.core.masks import split
from jaxgen.core.state import TrainState
from jaxgen.running.assembly import Assembly
from jaxgen.training.costs import Costs
from jaxgen.training.feeds import Devices
from jaxgen.training.parallel import JitDevices, Parallel


@dataclass(frozen=True)
class Memory:
    """Bytes on each device; the data themselves, where they live there, are not among them."""

    parameters: int
    optimiser: int
    averages: int
    others: int  # state without gradients, keys, the source's state
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
    """Of one step; `state` are shapes. A reward's samples count too, a set's own batches are given."""
    game, device = assembly.game, Parallel(data=1).place(assembly.game.batch_size)
    traced = assembly.experiment.rewards is not None
    feed = jax.eval_shape(lambda: assembly.source) if traced else (_stacked(assembly.batch()),) * game.draws
    program = device.program(game, state, traced, loops=False).trace(state, feed, np.int32(1))
    costs, jaxpr = Costs(), program.jaxpr.jaxpr
    flops, halves = costs.flops(jaxpr), costs.flops(jaxpr, halves=True)
    return Estimate(flops, halves, memory(assembly, state, peak_beside(state, jaxpr, costs)))


def lowered_with_memory(
    assembly: Assembly, state: TrainState, batches: Any, traced: bool
) -> tuple[jax.stages.Lowered, Memory]:
    """The training program for what it will be given, and what it needs; of pmap's the state alone is reckoned.

    Data that live on the devices (`traced`) are among `others`.
    """
    devices, game = assembly.devices, assembly.game
    if not isinstance(devices, JitDevices):
        return devices.lower(game, state, batches, traced, assembly.loops), memory(assembly, devices.fetch(state))
    written = devices.program(game, state, traced, assembly.loops).trace(state, batches, np.int32(1))
    needed = memory(assembly, state, peak_beside(state, written.jaxpr.jaxpr, Costs()))
    return written.lower(), replace(needed, others=needed.others + (_all_bytes(batches) if traced else 0))


def peak_beside(state: TrainState, jaxpr: Jaxpr, costs: Costs) -> int:
    """The most bytes that a program (state, ...) -> (state, ...) holds beside its arguments; the state is donated."""
    leaves = len(jax.tree.leaves(state))
    return costs.peak_bytes(jaxpr, [number < leaves for number in range(len(jaxpr.outvars))])


def memory(assembly: Assembly, state: TrainState, peak: int | None = None) -> Memory:
    """Of the state as it lies on the devices, and where `peak` of a step of the whole batch is known of that too."""
    devices = assembly.devices
    moving, _ = split(state.params, assembly.game.moving(state.params))
    held = functools.partial(_bytes, devices=devices, state=state)
    gradients = held("params", moving)
    activations = 0 if peak is None else max(0, peak - _all_bytes(moving)) // devices.parts
    if isinstance(devices, JitDevices) and devices.mesh.shape["fsdp"] > 1:  # brought together before they are used
        activations += _all_bytes(state.params) // devices.mesh.shape["tensor"]
    parts = [held(name, getattr(state, name)) for name in ("params", "opt_state", "averages")]
    others = held("extra", state.extra) + held("source", state.source) + held("key", state.key)
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
