"""The training program: many steps in one call, their batches drawn inside it or fed to it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr

from jaxgen.core.state import TrainState
from jaxgen.training.costs import inner_jaxprs
from jaxgen.training.step import Game, Readable, Reduce, take_step
from jaxgen.types import NO_PARTS, Batch, Key, Metrics, Parts, Variables

Run = Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics]]


def shapes_and_loops(init: Callable[[Key], Variables], key: Key) -> tuple[Variables, bool]:
    """The shapes of a task's variables, and whether its network may be trained inside a compiled loop here.

    XLA's CPU backend runs its own gradient of a convolution 15 to 22 times slower inside a loop than outside; a network
    with such convolutions (those of `ops/convolution.py` are none) is stepped from the host there. Flax's `init` runs
    the whole network, so its jaxpr tells.
    """
    jaxpr, shapes = jax.make_jaxpr(init, return_shape=True)(key)
    return shapes, jax.default_backend() != "cpu" or not _slow_in_loops(jaxpr.jaxpr)


def _slow_in_loops(jaxpr: Jaxpr) -> bool:
    """Whether a convolution is in it that has no gradient of its own."""
    return any(
        eqn.primitive.name == "conv_general_dilated"
        or (eqn.primitive.name != "custom_vjp_call" and any(map(_slow_in_loops, inner_jaxprs(eqn))))
        for eqn in jaxpr.eqns
    )


def make_run(
    game: Game,
    traced: bool,
    loops: bool,
    reduce: Reduce,
    rows: jax.Array,
    cut: Callable[[Batch], Batch],
    readable: Readable = lambda params: params,
) -> Run:
    """`run(state, feed, count, parts) -> (state, metrics)`: `count` steps, their metrics summed as Means.

    `feed` is a traced source, or what a host made: a tuple of batches (one a draw), each array [K, B, ...]. `rows` are
    this device's global row numbers, `cut` lays a batch out over the devices, `readable` is `take_step`'s. `count` is
    an argument, not a constant: one program serves every length from 1 to K. Without `loops` a call is one step.
    `parts`, which may be left out, are other runs' variables, whole on every device and not donated.
    """

    @jax.jit  # traced once for the metrics' shapes and for the loop's body
    def step(state: TrainState, feed: Any, turn_of_loop: jax.Array, parts: Parts) -> tuple[TrainState, Metrics]:
        def draw(source_state, variables, number):
            if traced:
                variables = variables.replace(params=readable(variables.params))
                batch, source_state = feed.next(source_state, variables, number, cut(rows))
            else:
                batch = next(fed)
            return cut(batch), source_state

        fed = iter(()) if traced else (jax.tree.map(lambda array: array[turn_of_loop], batch) for batch in feed)
        return take_step(game, state, draw, reduce, readable, parts)

    def run(state: TrainState, feed: Any, count: jax.Array, parts: Parts = NO_PARTS) -> tuple[TrainState, Metrics]:
        if not loops:
            return step(state, feed, jnp.int32(0), parts)
        shapes = jax.eval_shape(step, state, feed, count, parts)[1]
        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(turn, carry):
            state, metrics = carry
            state, more = step(state, feed, turn, parts)
            return state, jax.tree.map(jnp.add, metrics, more)

        return jax.lax.fori_loop(0, count, body, (state, nothing))

    return run


def given_parts(program: Run, parts: Parts) -> Run:
    """A program that was compiled for parts, called without them; as it is where there are none."""
    return (lambda state, feed, count: program(state, feed, count, parts)) if parts else program


class ProgramByShape:
    """A program that is compiled, for each shape that batches come in, when the first of them comes."""

    def __init__(self, compiled: Callable[[TrainState, Any], Run]):
        self._compiled = compiled
        self._programs: dict[Any, Run] = {}

    def __call__(self, state: TrainState, batches: Any, count: Any) -> tuple[TrainState, Metrics]:
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batches))
        if shapes not in self._programs:
            self._programs[shapes] = self._compiled(state, batches)
        return self._programs[shapes](state, batches, count)
