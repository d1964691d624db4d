"""`jaxgen describe`: what a run would be, told without allocating any of it."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxgen.core.data import Understood
from jaxgen.core.masks import path_of, size_of
from jaxgen.errors import UserError
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.running.chips import Chip, chip_of, named_chip
from jaxgen.running.command_line import Changes, chosen_experiment
from jaxgen.running.communication import Collective
from jaxgen.running.compiled import Compiled, compile_for
from jaxgen.running.estimate import (
    Estimate,
    Memory,
    assumed_rate,
    device_bytes,
    estimate,
    shapes_of,
    told,
    warning,
)
from jaxgen.running.starting import with_new_leaves
from jaxgen.standard_streams import put_out
from jaxgen.training.checkpoint_size import checkpoint_bytes
from jaxgen.training.folder import SUMMARY, read_json


def describe(
    config: str, changes: Changes, run: str | None = None, compiles: bool = False, kind: str | None = None
) -> int:
    """Print parameters, FLOPs, memory, checkpoint bytes and an estimate of the time, at the pace of `run` if named.

    `kind`: of devices that need not be here, as `chips.CHIPS` names them; JAX has virtual ones in their place.
    """
    pace = None if run is None else _pace(Path(run))
    assembly = assemble(with_new_leaves(chosen_experiment(config, changes), None))
    for line in description(assembly, pace, compiles, kind):
        put_out(line)
    return 0


def description(
    assembly: Assembly, pace: float | None = None, compiles: bool = False, kind: str | None = None
) -> Iterator[str]:
    """The lines that `describe` prints. `pace`: examples per second that a run like it was measured at."""
    experiment, game, devices = assembly.experiment, assembly.game, assembly.devices
    there = int(named_chip(kind).memory) if kind else device_bytes()
    kind = kind or jax.devices()[0].device_kind
    state = shapes_of(assembly)
    name, examples = type(assembly.task).__name__, f"{game.draws} x {game.batch_size}"
    yield f"{name} on {experiment.data.name}, {experiment.steps:,} steps of {examples} examples"
    if isinstance(experiment.data, Understood):
        for sentence in experiment.data.understood():
            yield f"data                {sentence}"
    yield f"devices             {devices.count} x {kind} ({experiment.parallel.compiler.value})"
    yield f"parameters          {size_of(state.params):,}"
    for part, size in _parts(state.params).most_common():
        yield f"  {part:<36} {size:,}"
    if game.moving_size(state.params) < size_of(state.params):
        yield f"  of them move      {game.moving_size(state.params):,}"
    for name, shapes in assembly.part_shapes.items():
        yield f"part {name:<14} {size_of(shapes.params):,} parameters of another run, in no checkpoint of this one"
    yield f"checkpoint          {told(checkpoint_bytes(state))}"
    found = estimate(assembly, state)
    yield from _memory(found.memory, there)
    yield f"FLOPs a step        {found.flops:,.0f} (counted in the program as it is written)"
    yield f"time                {_time(assembly, found, pace, kind)}"
    if compiles:
        program = compile_for(assembly, state)
        yield from _compiled(program)
        yield from _communication(program.collectives, chip_of(kind))


def _memory(memory: Memory, there: int | None) -> Iterator[str]:
    yield f"memory a device     about {told(memory.total)} without the data"
    for name, size in vars(memory).items():
        yield f"  {name:<36} {told(size)}"
    if sentence := warning(memory.total, there):
        yield f"  {sentence}"


def _time(assembly: Assembly, found: Estimate, pace: float | None, kind: str) -> str:
    """Of the training alone, without start, evaluation, samples and checkpoints."""
    steps, devices = assembly.experiment.steps, assembly.devices
    if pace is not None:
        return f"about {_clock(steps * assembly.game.batch_size / pace)} at the {pace:,.0f} examples/s of that run"
    rate = assumed_rate(kind)
    if rate is None:
        return "not known for these devices; name a run like it, --workdir RUN, to reckon with its pace"
    each = (found.flops - found.half_flops) / rate.flops + found.half_flops / rate.half_flops
    faster = f", {rate.half_flops / 1e9:,.0f} in bfloat16" if found.half_flops and rate.half_flops > rate.flops else ""
    pace = f"{rate.flops / 1e9:,.0f} GFLOP/s{faster}"
    told = f"if each device does {pace} ({rate.source})"
    return f"about {_clock(each * steps / devices.count)}, {1000 * each / devices.count:.3g} ms a step, {told}"


def _compiled(program: Compiled) -> Iterator[str]:
    memory = program.memory
    yield f"compiled by XLA     {told(memory.peak)} a device, the data among them where they live there"
    yield f"  arguments                            {told(memory.arguments)}"
    beside = memory.results - memory.in_place
    yield f"  results                              {told(beside)} beside those written over arguments"
    yield f"  temporary                            {told(memory.temporary)}"
    yield f"  the program itself                   {told(memory.code)}"
    yield f"  FLOPs on a device                    {program.flops:,.0f} (each loop's body counted once)"


def _communication(collectives: Sequence[Collective], chip: Chip | None) -> Iterator[str]:
    """What a device sends the others in a step, and how long its links take for that."""
    if not collectives:
        return
    sent = sum(one.sent for one in collectives)
    time = f", {1000 * sent / chip.link:.3g} ms at the maker's {chip.link / 1e9:.0f} GB/s" if chip else ""
    yield f"communication       {told(round(sent))} that a device sends in a step{time}"
    for kind in dict.fromkeys(one.kind for one in collectives):
        own = [one for one in collectives if one.kind == kind]
        count = sum(one.times for one in own)
        yield f"  {kind:<36} {told(round(sum(one.sent for one in own)))} in {count:,}"


def _pace(run: Path) -> float:
    """The examples per second of a run that has ended."""
    summary = read_json(run / SUMMARY)
    pace = summary.get("examples_per_second") if isinstance(summary, dict) else None
    if not isinstance(pace, int | float) or not pace > 0:
        raise UserError(f"--workdir {run}: its {SUMMARY} tells no pace; name a run that has ended, or leave it out")
    return float(pace)


def _parts(params: Any) -> Counter:
    """The parameters of each part of the network, named by the first two segments of their paths.

    Blocks and layers are told as one: `block_*`.
    """
    parts: Counter = Counter()
    for keys, leaf in jax.tree_util.tree_leaves_with_path(params):
        parts[re.sub(r"\b([Bb]lock|layer)_\d+", r"\1_*", "/".join(path_of(keys).split("/")[:2]))] += leaf.size
    return parts


def _clock(seconds: float) -> str:
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"
