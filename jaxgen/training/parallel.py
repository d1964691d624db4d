"""The only place where a step meets devices: jit over a mesh, and pmap, behind one interface."""
# SPDX-License-Identifier: Apache-2.0

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.core.layout import Rule, cut, rule_of
from jaxgen.core.masks import path_of
from jaxgen.core.state import TrainState
from jaxgen.errors import UserError
from jaxgen.training.gathering import as_they_lie, gathered_on_read
from jaxgen.training.processes import laid_out, laid_out_rows, several
from jaxgen.training.program import Run, make_run
from jaxgen.training.step import Game
from jaxgen.types import NO_PARTS, Batch, Extra, Key, Params, Parts, Variables

_BATCH_AXES = ("data", "fsdp")


class Compiler(enum.Enum):
    """Which of JAX's two ways a step is spread over devices by."""

    JIT = "jit"
    PMAP = "pmap"


@dataclass(frozen=True)
class Parallel:
    """How a run is spread: the compiler, and the mesh's axes (data 0: as many devices as divide the batch)."""

    compiler: Compiler = Compiler.JIT
    data: int = 0
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self):
        if self.data < 0 or self.fsdp < 1 or self.tensor < 1:
            raise UserError(f"data is {self.data}, fsdp {self.fsdp}, tensor {self.tensor}; give sizes of at least 1")

    def place(self, batch_size: int, rules: tuple[Rule, ...] = ()) -> "JitDevices | PmapDevices":
        """The devices for batches of this size; UserError when a mesh asked for by hand does not fit.

        `rules` say how parameters lie over fsdp and tensor; without any, each leaf is cut where it comes out even.
        """
        if self.compiler is Compiler.PMAP and self.fsdp * self.tensor > 1:
            raise UserError(
                f"pmap cuts the batch alone, not over fsdp={self.fsdp} or tensor={self.tensor}; use --parallel jit"
            )
        if self.compiler is Compiler.PMAP and several():
            raise UserError("pmap trains in one process here; leave --parallel pmap out for several")
        available = jax.devices()
        each = self.fsdp * self.tensor
        data = self.data or _largest_divisor(batch_size // self.fsdp, max(1, len(available) // each))
        if data * each > len(available):
            raise UserError(
                f"the mesh data={data},fsdp={self.fsdp},tensor={self.tensor} wants {data * each} devices and there are "
                f"{len(available)}; ask for a smaller one, or leave --mesh out"
            )
        if batch_size % (data * self.fsdp):
            raise UserError(
                f"a batch of {batch_size} cannot be cut into data*fsdp = {data * self.fsdp} equal parts; choose a "
                "--mesh that divides data.batch_size"
            )
        if several() and len({device.process_index for device in available[: data * each]}) < jax.process_count():
            raise UserError(
                f"a mesh of {data * each} devices leaves some of the {jax.process_count()} processes without work; "
                "choose a data.batch_size that more devices divide, or start fewer processes"
            )
        devices = np.array(available[: data * each]).reshape(data, self.fsdp, self.tensor)
        mesh = Mesh(devices, ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
        return JitDevices(mesh, batch_size, rules) if self.compiler is Compiler.JIT else PmapDevices(mesh, batch_size)


def _largest_divisor(number: int, at_most: int) -> int:
    return next(part for part in range(min(at_most, max(number, 1)), 0, -1) if number % part == 0)


@dataclass(frozen=True)
class JitDevices:
    """jit over a mesh: every array is global, XLA inserts the sums."""

    mesh: Mesh
    batch_size: int
    rules: tuple[Rule, ...] = ()

    @property
    def count(self) -> int:
        return self.mesh.size

    @property
    def parts(self) -> int:
        """How many devices a batch is cut over."""
        return self.mesh.shape["data"] * self.mesh.shape["fsdp"]

    def sharding(self, *axes: Any) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def layout(self, state: TrainState | Variables) -> TrainState | Variables:
        """A sharding for each leaf: parameters and their like over fsdp and tensor, rows over the batch; parts whole.
        """
        rows = jax.tree.map(lambda _: self.sharding(_BATCH_AXES), state.extra.rows)
        whole = self._shardings(state)
        if isinstance(state, Variables):
            whole = whole.replace(parts=jax.tree.map(lambda _: self.sharding(), state.parts))
        return whole.replace(extra=whole.extra.replace(rows=rows))

    def _leaf_sharding(self, keys: tuple, leaf: Any) -> NamedSharding:
        """By the first rule that matches; a parameter's moments and averages have its path at their end, and lie alike.

        What no rule matches, such as a source's state, is whole everywhere.
        """
        if not self.rules:
            return self._even(leaf)
        rule = rule_of(self.rules, path_of(keys))
        return self.sharding(*cut(rule.axes, leaf.shape, self.mesh.shape)) if rule else self.sharding()

    def held(self, params: Params) -> float:
        """The share of the parameters that each device holds, between its even part and all; of shapes."""
        leaves = zip(jax.tree.leaves(params), jax.tree.leaves(self._shardings(params)), strict=True)
        parts = [math.prod(sharding.shard_shape(leaf.shape)) for leaf, sharding in leaves]
        return sum(parts) / sum(leaf.size for leaf in jax.tree.leaves(params))

    def _shardings(self, tree: Any) -> Any:
        return jax.tree_util.tree_map_with_path(self._leaf_sharding, tree)

    def _even(self, leaf: Any) -> NamedSharding:
        """Without rules tensor parallel cuts a matrix's last axis, fsdp the first other one that it divides."""
        axes: list[str | None] = [None] * leaf.ndim
        tensor, fsdp = self.mesh.shape["tensor"], self.mesh.shape["fsdp"]
        if tensor > 1 and leaf.ndim >= 2 and leaf.shape[-1] % tensor == 0:
            axes[-1] = "tensor"
        free = [axis for axis in range(leaf.ndim) if axes[axis] is None and leaf.shape[axis] % fsdp == 0]
        if fsdp > 1 and free:
            axes[free[0]] = "fsdp"
        return self.sharding(*axes)

    def begin(self, init: Callable[..., TrainState], key: Key, start: Any) -> TrainState:
        """The first state, made where it lies, of a `start` that is laid out alike: no leaf needs to fit one device."""
        start = laid_out(start, self._shardings(start))
        return jax.jit(init, out_shardings=self.layout(jax.eval_shape(init, key, start)))(key, start)

    def put_state(self, state: TrainState) -> TrainState:
        return laid_out(state, self.layout(state))

    def put_evaluated(self, variables: Variables) -> Variables:
        """Laid out as `fetch` finds them in a state, and read like those: both are evaluated by one program."""
        variables = variables.replace(params=as_they_lie(variables.params))
        variables = laid_out(variables, self.layout(variables))
        return variables.replace(params=self.readable(variables.params))

    def put_shown(self, variables: Variables, source: Any) -> tuple[Variables, Any]:
        """A trained run's variables and its source's state, to be looked at: over the mesh, where that cuts parameters.

        Else on the first device alone, for the same program would run once on each.
        """
        if self.mesh.shape["fsdp"] * self.mesh.shape["tensor"] == 1:
            return jax.device_put((variables, source), self.mesh.devices.flat[0])
        return self.put_evaluated(variables), laid_out(source, self._shardings(source))

    def put_request(self, request: Batch) -> Batch:
        """What samples are asked for, each array [B, ...], cut along B where parameters are and that comes out even."""
        even = len(request["row"]) % self.parts == 0
        return laid_out(request, self.sharding(_BATCH_AXES)) if even and self.mesh.shape["fsdp"] > 1 else request

    def put_evaluation(self, batches: Batch) -> Batch:
        """Batches [n, B, ...] cut along B where that comes out even."""
        rows = batches["weight"].shape[1]
        return laid_out(batches, self.sharding(None, _BATCH_AXES) if rows % self.parts == 0 else self.sharding())

    @property
    def rows(self) -> np.ndarray:
        """The global numbers of a batch's rows that this process holds."""
        places = self.sharding(_BATCH_AXES).addressable_devices_indices_map((self.batch_size,)).values()
        return np.unique(np.concatenate([np.arange(self.batch_size)[place] for place in places]))

    @property
    def drawn_rows(self) -> Any:
        """`rows` for a program that each process runs alone: where there is one process, laid out as a batch."""
        if several():
            return self.rows.astype(np.int32)
        return jax.device_put(np.arange(self.batch_size, dtype=np.int32), self.sharding(_BATCH_AXES))

    def put_feed(self, feed: Any, traced: bool) -> Any:
        """A traced source whole on every device; this process's rows of batches [K, B, ...], cut along B."""
        if traced:
            return laid_out(feed, self.sharding())
        return laid_out_rows(feed, self.sharding(None, _BATCH_AXES), self.rows, self.batch_size)

    def put_parts(self, parts: Parts) -> Parts:
        """Whole on every device: the rules of this run's task say nothing of another's leaves, and a part that every
        device has can be read by samplers, which see parameters as they lie, and by losses alike."""
        return laid_out(parts, self.sharding())

    def fetch_parts(self, parts: Parts) -> Parts:
        """Parts that `put_parts` has laid out, for a program that is given what `fetch` gives."""
        return parts

    def fetch(self, state: TrainState) -> TrainState:
        """The state as one logical copy."""
        return state

    def with_source(self, state: TrainState, source: Any) -> TrainState:
        """The state with the source's state, made on the host, in its place."""
        copied = jax.tree.map(jnp.copy, source)  # it may hold the very parameters, which are donated beside it
        return state.replace(source=laid_out(copied, self._shardings(copied)))

    def program(self, game: Game, state: TrainState, traced: bool, loops: bool) -> jax.stages.Wrapped:
        """The program that `make_run` describes, laid out over these devices; its first argument is donated."""
        out = (self.layout(state), self.sharding())
        return jax.jit(self._run(game, traced, loops), donate_argnums=0, out_shardings=out)

    def program_of_several(
        self, game: Game, state: TrainState, runs: int, traced: bool, loops: bool
    ) -> jax.stages.Wrapped:
        """The same for several runs' states, which differ in values alone: tuples of states, batches and results.

        A traced source is the same for all, and is fed once. Each run is a row of a vmapped program.
        """
        run, rows = self._run(game, traced, loops), (lambda *leaves: jnp.stack(leaves))

        def several_runs(states: tuple, feeds: Any, count: jax.Array, *parts: Parts) -> tuple:
            feed = feeds if traced else jax.tree.map(rows, *feeds)
            in_axes = (0, None if traced else 0, None, *(None for _ in parts))
            done = jax.vmap(run, in_axes)(jax.tree.map(rows, *states), feed, count, *parts)
            return tuple(jax.tree.map(lambda leaf: leaf[row], done) for row in range(runs))  # noqa: B023 - at once

        out = (self.layout(state), self.sharding())
        return jax.jit(several_runs, donate_argnums=0, out_shardings=(out,) * runs)

    def _run(self, game: Game, traced: bool, loops: bool) -> Run:
        batch = self.sharding(_BATCH_AXES)

        def cut(arrays):
            return jax.lax.with_sharding_constraint(arrays, jax.tree.map(lambda _: batch, arrays))

        rows = jnp.arange(self.batch_size, dtype=jnp.int32)
        return make_run(game, traced, loops, lambda tree: tree, rows, cut, self.readable)

    def readable(self, params: Params) -> Params:
        """Parameters as any program needs them: gathered over fsdp where a module reads them, one after another.

        Those of a task without rules may be read by anything, and are gathered here. The batch is cut over fsdp too,
        and XLA, left to choose how to use a kernel that is, gives wrong results on a mesh of all three axes (jax
        0.10.2, with and without Shardy: the first kernel's gradient in two dense layers on 2x2x2).
        """
        if self.mesh.shape["fsdp"] == 1:
            return params
        boxed = gathered_on_read(params, self._shardings(params))
        return boxed if self.rules else nn.meta.unbox(boxed)

    def lower_several(
        self, game: Game, states: tuple[TrainState, ...], feeds: Any, traced: bool, loops: bool, parts: Parts
    ) -> jax.stages.Lowered:
        """`lower` for several runs' states."""
        program = self.program_of_several(game, states[0], len(states), traced, loops)
        return program.lower(states, feeds, np.int32(1), *_some(parts))

    def lower(
        self, game: Game, state: TrainState, feed: Any, traced: bool, loops: bool, parts: Parts = NO_PARTS
    ) -> jax.stages.Lowered:
        """The program, lowered for what it will be given: parts come last, and where there are some alone."""
        return self.program(game, state, traced, loops).lower(state, feed, np.int32(1), *_some(parts))


@dataclass(frozen=True)
class PmapDevices:
    """pmap over the data axis: the state is stacked, one copy a device, and gradients are summed by hand."""

    mesh: Mesh
    batch_size: int

    @property
    def count(self) -> int:
        return self.mesh.size

    @property
    def parts(self) -> int:
        """How many devices a batch is cut over."""
        return self.count

    def begin(self, init: Callable[..., TrainState], key: Key, start: Any) -> TrainState:
        return self.put_state(jax.jit(init)(key, start))

    def put_state(self, state: TrainState) -> TrainState:
        stacked = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (self.count, *leaf.shape)), state)
        rows = jax.tree.map(lambda leaf: leaf.reshape(self.count, -1, *leaf.shape[1:]), state.extra.rows)
        stacked = stacked.replace(extra=stacked.extra.replace(rows=rows))
        return jax.device_put(stacked, NamedSharding(self.mesh, PartitionSpec("data")))

    def put_evaluated(self, variables: Variables) -> Variables:
        return jax.device_put(variables, self.mesh.devices.flat[0])

    def put_shown(self, variables: Variables, source: Any) -> tuple[Variables, Any]:
        """A trained run's variables and its source's state, to be looked at."""
        return jax.device_put((variables, source), self.mesh.devices.flat[0])

    def put_request(self, request: Batch) -> Batch:
        return request

    def put_evaluation(self, batches: Batch) -> Batch:
        """Evaluation looks at one copy of the state, on the first device."""
        return jax.device_put(batches, self.mesh.devices.flat[0])

    @property
    def rows(self) -> np.ndarray:
        return np.arange(self.batch_size)

    @property
    def drawn_rows(self) -> np.ndarray:
        return np.arange(self.batch_size, dtype=np.int32)

    def put_feed(self, feed: Any, traced: bool) -> Any:
        if traced:
            return jax.device_put(feed, NamedSharding(self.mesh, PartitionSpec()))
        parts = jax.tree.map(lambda array: _cut_rows(array, self.count), feed)
        return jax.device_put(parts, NamedSharding(self.mesh, PartitionSpec("data")))

    def put_parts(self, parts: Parts) -> Parts:
        return jax.device_put(parts, NamedSharding(self.mesh, PartitionSpec()))

    def fetch_parts(self, parts: Parts) -> Parts:
        return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, parts)

    def fetch(self, state: TrainState) -> TrainState:
        one = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data[0], state)
        rows = jax.tree.map(lambda leaf: jnp.asarray(leaf).reshape(-1, *leaf.shape[2:]), state.extra.rows)
        return one.replace(extra=Extra(one.extra.shared, rows))

    def readable(self, params: Params) -> Params:
        return params

    def with_source(self, state: TrainState, source: Any) -> TrainState:
        stacked = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (self.count, *leaf.shape)), source)
        return state.replace(source=jax.device_put(stacked, NamedSharding(self.mesh, PartitionSpec("data"))))

    def lower(
        self, game: Game, state: TrainState, feed: Any, traced: bool, loops: bool, parts: Parts = NO_PARTS
    ) -> jax.stages.Lowered:
        each, beside = self.batch_size // self.count, _some(parts)

        def run(*arguments):
            rows = jax.lax.axis_index("data") * each + jnp.arange(each, dtype=jnp.int32)
            return make_run(game, traced, loops, _sum_over_devices, rows, lambda batch: batch)(*arguments)

        in_axes = (0, None if traced else 0, None, *(None for _ in beside))
        mapped = jax.pmap(
            run, "data", in_axes=in_axes, out_axes=(0, None), donate_argnums=0, devices=list(self.mesh.devices.flat)
        )
        return mapped.lower(state, feed, np.int32(1), *beside)


def _some(parts: Parts) -> tuple[Parts, ...]:
    """The last argument of a program that reads parts; a program that reads none has no such argument."""
    return (parts,) if parts else ()


def _sum_over_devices(tree: Any) -> Any:
    return jax.lax.psum(tree, "data")


def _cut_rows(array: np.ndarray, count: int) -> np.ndarray:
    """[K, B, ...] to [devices, K, B/devices, ...]."""
    steps, rows, *rest = array.shape
    return np.moveaxis(np.asarray(array).reshape(steps, count, rows // count, *rest), 1, 0)
