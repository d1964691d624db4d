"""What XLA says of a compiled training program; of a run that is only described it is compiled from shapes."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax

from jaxgen.core.data import Traced
from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.running.assembly import Assembly
from jaxgen.running.communication import Collective, collectives
from jaxgen.training.parallel import JitDevices


@dataclass(frozen=True)
class CompiledMemory:
    """What a compiled program holds, bytes on each device; the state and the data that live there are its arguments."""

    arguments: int
    results: int
    in_place: int  # of the results, written over arguments
    temporary: int
    code: int

    @classmethod
    def of(cls, program: jax.stages.Compiled) -> "CompiledMemory | None":
        """None where the backend does not tell."""
        told = program.memory_analysis()
        if told is None:
            return None
        return cls(
            told.argument_size_in_bytes,
            told.output_size_in_bytes,
            told.alias_size_in_bytes,
            told.temp_size_in_bytes,
            told.generated_code_size_in_bytes,
        )

    @property
    def peak(self) -> int:
        """When the program holds the most."""
        return self.arguments + self.results - self.in_place + self.temporary + self.code


@dataclass(frozen=True)
class Compiled:
    """XLA's figures of a program; `flops` count a loop's body once."""

    memory: CompiledMemory
    flops: float
    collectives: list[Collective]


def compile_for(assembly: Assembly, state: TrainState) -> Compiled:
    """The figures of the program that `train` compiles; `state` are shapes. The data are read, no model is made.

    UserError for pmap, whose program takes arrays that lie on the devices, and where the backend does not tell.
    """
    program = lower_for(assembly, state).compile()
    memory, cost = CompiledMemory.of(program), program.cost_analysis()
    if memory is None or not cost:
        raise UserError(f"XLA tells no figures on {jax.default_backend()}; leave --compile out")
    return Compiled(memory, float(cost["flops"]), collectives(program.as_text()))


def lower_for(assembly: Assembly, state: TrainState) -> jax.stages.Lowered:
    """The program that `train` compiles, lowered from the state's shapes. UserError for pmap."""
    devices, game = assembly.devices, assembly.game
    if not isinstance(devices, JitDevices):
        raise UserError("--compile is for --parallel jit: pmap's program is the same without the mesh; leave one out")
    traced = isinstance(assembly.source, Traced)
    if traced:
        feed = _laid_out(jax.eval_shape(lambda source: source, assembly.source), devices.sharding())
    else:
        calls, rows = assembly.steps_per_call, devices.sharding(None, ("data", "fsdp"))
        stacked = {n: jax.ShapeDtypeStruct((calls, *one.shape), one.dtype) for n, one in assembly.batch().items()}
        feed = (_laid_out(stacked, rows),) * game.draws
    whole = jax.tree.map(_with, state, devices.layout(state))
    parts = _laid_out(assembly.part_shapes, devices.sharding())
    return devices.lower(game, whole, feed, traced, assembly.loops, parts)


def _laid_out(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    return jax.tree.map(lambda leaf: _with(leaf, sharding), tree)


def _with(leaf: Any, sharding: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
