"""`jaxgen describe`: what a run would be, told without allocating any of it."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax

from jaxgen.commands.train import Changes, chosen_experiment
from jaxgen.core.masks import path_of, size_of
from jaxgen.core.state import TrainState
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.training.parallel import Parallel
from jaxgen.training.step import init_state

_ASSUMED_RATE = 2e10  # FLOP/s a device: what small networks reach on one CPU core; accelerators reach far more


def describe(config: str, changes: Changes) -> int:
    """Print parameters, FLOPs, memory, checkpoint bytes and an estimate of the time."""
    for line in description(assemble(chosen_experiment(config, changes))):
        print(line)
    return 0


def description(assembly: Assembly) -> Iterator[str]:
    """The lines that `describe` prints; shapes alone are computed."""
    experiment, game, devices = assembly.experiment, assembly.game, assembly.devices
    state = jax.eval_shape(lambda key: init_state(game, key), assembly.key)
    name, examples = type(assembly.task).__name__, f"{game.draws} x {game.batch_size}"
    yield f"{name} on {experiment.data.name}, {experiment.steps:,} steps of {examples} examples"
    yield f"devices             {devices.count} x {jax.devices()[0].device_kind} ({experiment.parallel.compiler.value})"
    yield f"parameters          {size_of(state.params):,}"
    for part, size in _parts(state.params).most_common():
        yield f"  {part:<36} {size:,}"
    if game.moving_size(state.params) < size_of(state.params):
        yield f"  of them move      {game.moving_size(state.params):,}"
    yield f"checkpoint          {_told(_bytes(state))}"
    memory = _told(_bytes(state) + _bytes(state.params))
    yield f"memory a device     {memory} for state and gradients, activations not counted"
    flops = flops_a_step(assembly, state)
    yield f"FLOPs a step        {flops:,.0f} (as lowered, before XLA joins what is computed twice)"
    seconds = flops * experiment.steps / _ASSUMED_RATE / devices.count
    yield f"time                about {_clock(seconds)} if each device does {_ASSUMED_RATE / 1e9:.0f} GFLOP/s"


def flops_a_step(assembly: Assembly, state: TrainState) -> float:
    """FLOPs of one step as XLA counts them in the lowered program, on one device."""
    shapes = assembly.batch()
    stacked = jax.tree.map(lambda shape: jax.ShapeDtypeStruct((1, *shape.shape), shape.dtype), shapes)
    device = Parallel(data=1).place(assembly.game.batch_size)
    lowered = device.lower(assembly.game, state, (stacked,) * assembly.game.draws, traced=False, loops=False)
    return lowered.cost_analysis()["flops"]


def _parts(params: Any) -> Counter:
    """The parameters of each part of the network, named by the first two segments of their paths."""
    parts: Counter = Counter()
    for keys, leaf in jax.tree_util.tree_leaves_with_path(params):
        parts["/".join(path_of(keys).split("/")[:2])] += leaf.size
    return parts


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _told(size: int) -> str:
    """Bytes as people say them."""
    power = 0 if size < 1000 else min(3, int(math.log(size, 1000)))
    return f"{size / 1000**power:.{1 if power else 0}f} {('B', 'kB', 'MB', 'GB')[power]}"


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
