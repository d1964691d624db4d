"""One step: every player's turn in its order, then the averages; the same for every family and device count."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgen.core.masks import Everything, Selection, join, paths, size_of, split, union
from jaxgen.core.mean import Mean
from jaxgen.core.state import TrainState
from jaxgen.core.task import Aux, Task, Turn, restrict
from jaxgen.errors import UserError, nearest
from jaxgen.training.accumulation import accumulated
from jaxgen.training.averages import AnyAverage
from jaxgen.training.guard import SPENT, Guard, chosen, counted, spoilt
from jaxgen.training.optimisers import AnyOptimiser, Optimiser, surely_finite
from jaxgen.types import NO_PARTS, Batch, Extra, Key, Metrics, Params, Parts, Variables

Reduce = Callable[[Any], Any]  # sums a tree over the devices that hold parts of the batch; the identity under jit
Readable = Callable[[Params], Params]  # as networks read them: `Devices.readable`
Draw = Callable[[Any, Variables, jax.Array], tuple[Batch, Any]]  # (source state, variables, number) -> (batch, state)
Augment = Callable[[Batch, Key], Batch]

_AUGMENTING = 2**31  # folded into the run's key: above all steps, below what a rollback folds in


def _as_it_is(batch: Batch, key: Key) -> Batch:
    return batch


@dataclass(frozen=True)
class Game:
    """What one step needs to know: the rules, nothing that changes."""

    task: Task
    turns: tuple[Turn, ...]
    optimisers: Mapping[str, optax.GradientTransformation]
    averages: Mapping[str, AnyAverage]
    batch_size: int
    guard: Guard = Guard()
    accumulate: int = 1  # parts that a batch's gradient is taken in
    loops: bool = True  # whether the parts may be a compiled loop here
    augment: Augment = _as_it_is  # of every batch, before it is learned from
    finite: frozenset[str] = frozenset()  # the turns whose optimiser writes finite numbers for sure

    @property
    def draws(self) -> int:
        """Batches a step."""
        return sum(turn.repeat for turn in self.turns)

    def moving(self, params: Params) -> Any:
        """The mask of the leaves that any turn trains: what averages and a fine-tuning checkpoint are over."""
        return union([turn.trainable(params) for turn in self.turns])

    def moving_size(self, params: Params) -> int:
        """The numbers that any turn moves; `params` may be shapes alone."""
        return size_of(split(params, self.moving(params))[0])


def make_game(
    task: Task,
    params: Params,
    optimisers: Mapping[str, AnyOptimiser],
    averages: Mapping[str, AnyAverage],
    steps: int,
    batch_size: int,
    trainable: Selection = Everything(),
    guard: Guard = Guard(),
    accumulate: int = 1,
    loops: bool = True,
    augment: Augment = _as_it_is,
) -> Game:
    """The game of a sized task: its turns restricted to `trainable`, each with its optimiser built for `steps` steps.

    `params` may be shapes alone. UserError when an optimiser is missing, or one names no turn.
    """
    turns = restrict(task.turns(), trainable, params)
    if not turns:
        raise UserError(f"trainable selects no parameter that any turn trains; let it match one of them: {trainable}")
    known = [turn.name for turn in task.turns()]
    for name in optimisers:
        if name not in known:
            raise UserError(f"optimisers names {name!r}, which is no turn of this task{nearest(name, known)}")
    missing = [turn.name for turn in turns if turn.name not in optimisers]
    if missing:
        raise UserError(f"optimisers has none for the turn {missing[0]!r}; give one to each of {', '.join(known)}")
    built = {turn.name: _built(turn.name, optimisers[turn.name], steps * turn.repeat) for turn in turns}
    finite = frozenset(turn.name for turn in turns if surely_finite(optimisers[turn.name]))
    return Game(task, turns, built, averages, batch_size, guard, accumulate, loops, augment, finite)


def _built(name: str, optimiser: AnyOptimiser, updates: int) -> optax.GradientTransformation:
    """The turn's optimiser for so many updates; UserError where a user's own class is none."""
    kind = type(optimiser).__name__
    if not isinstance(optimiser, Optimiser):
        raise UserError(
            f"optimisers.{name} is a {kind}, which builds no optimiser; give one of training/optimisers.py, or a "
            "frozen dataclass with build(updates) that returns an optax.GradientTransformation"
        )
    built = optimiser.build(updates)
    if not isinstance(built, optax.GradientTransformation):
        raise UserError(
            f"optimisers.{name}: build(updates) of {kind} returns a {type(built).__name__}; let it return an "
            "optax.GradientTransformation, such as optax.adam(1e-3)"
        )
    return built


def init_state(
    game: Game, key: Key, source: Callable[[Any], Any] = lambda moving: None, start: Variables | None = None
) -> TrainState:
    """The state before the first step, from fresh variables or from `start`'s. Traceable: shapes cost no memory.

    `source` makes the source's state of the leaves that will move.
    """
    variables = game.task.init(jax.random.fold_in(key, 0)) if start is None else start
    params = variables.params
    moving, _ = split(params, game.moving(params))
    opt_state = {t.name: game.optimisers[t.name].init(split(params, t.trainable(params))[0]) for t in game.turns}
    # a copy each: an average that shared the parameters' memory would be donated with them
    averages = {name: jax.tree.map(jnp.copy, moving) for name in game.averages}
    extra = Extra(variables.extra.shared, game.task.rows(game.batch_size))
    skipped = {turn.name: jnp.int32(0) for turn in game.turns}
    key = jax.random.fold_in(key, 1)
    return TrainState(jnp.int32(0), params, extra, opt_state, averages, key, source(moving), skipped)


def take_step(
    game: Game,
    state: TrainState,
    draw: Draw,
    reduce: Reduce,
    readable: Readable = lambda params: params,
    parts: Parts = NO_PARTS,
) -> tuple[TrainState, Metrics]:
    """The state after one step, and each metric as a Mean over the step's batches.

    `readable` makes of parameters that lie in parts on several devices what a loss is given. `parts` are other runs'
    variables, which sources and losses read and nothing changes.
    """
    metrics: Metrics = {}
    before = state.skipped
    key, augment_key = jax.random.fold_in(state.key, state.step), jax.random.fold_in(state.key, _AUGMENTING)
    number = state.step * game.draws
    for turn in game.turns:
        for _ in range(turn.repeat):
            batch, source = draw(state.source, state.variables.replace(parts=parts), number)
            batch = game.augment(batch, jax.random.fold_in(augment_key, number))
            state = state.replace(source=source)
            state, taken = take_turn(game, turn, state, batch, jax.random.fold_in(key, number), reduce, readable, parts)
            for name, mean in taken.items():
                name = name if len(game.turns) == 1 else f"{turn.name}/{name}"
                metrics[name] = metrics[name] + mean if name in metrics else mean
            number = number + 1
    return move_averages(game, state.replace(step=state.step + 1), before), metrics


def take_turn(
    game: Game,
    turn: Turn,
    state: TrainState,
    batch: Batch,
    key: Key,
    reduce: Reduce,
    readable: Readable,
    parts: Parts,
) -> tuple[TrainState, Metrics]:
    """One player's move on one batch: the gradient of its loss in its own leaves, by its own optimiser.

    A move that the guard does not accept leaves all but its count as it was.
    """
    moving, frozen = split(state.params, turn.trainable(state.params))

    def gradient_of(batch: Batch, rows: Any) -> tuple[Any, tuple[Mean, Aux]]:
        def total(moving):
            present = Variables(readable(join(moving, frozen)), state.extra.replace(rows=rows), parts)
            mean, aux = turn.loss(present, batch, key)
            return mean.total, (mean, aux)

        return jax.grad(total, has_aux=True)(moving)

    gradient, (mean, aux) = accumulated(gradient_of, game.accumulate, game.loops, batch, state.extra.rows)
    # totals are summed over the devices before they are divided, so that ragged weights agree on any device count
    gradient, mean, metrics, statistics = reduce((gradient, mean, aux.metrics, aux.statistics))
    gradient = jax.tree.map(lambda g: g / jnp.where(mean.weight > 0, mean.weight, 1.0), gradient)
    updates, opt_state = game.optimisers[turn.name].update(gradient, state.opt_state[turn.name], moving)
    norm, extra = optax.tree.norm(gradient), state.extra
    if statistics is not None:
        extra = extra.replace(shared=game.task.absorb(extra.shared, statistics))
    if aux.rows is not None:
        extra = extra.replace(rows=aux.rows)
    old = moving, state.opt_state[turn.name], state.extra
    new = optax.apply_updates(moving, updates), opt_state, extra
    taken = game.guard.accepts(mean, norm, _spoilt(new, old, reduce, turn.name in game.finite))
    moved, opt_state, extra = chosen(taken, new, old)
    skipped = jnp.where(taken, 0, state.skipped[turn.name] + 1)
    state = state.replace(
        params=join(moved, frozen),
        opt_state=state.opt_state | {turn.name: opt_state},
        extra=extra,
        skipped=state.skipped | {turn.name: skipped},
    )
    shown = counted({"loss": mean, **metrics, "gradient_norm": Mean.of(norm)}, taken)
    return state, shown | {SPENT: Mean.of(skipped == game.guard.patience)}


def _spoilt(new: Any, old: Any, reduce: Reduce, finite: bool) -> jax.Array:
    """`guard.spoilt` of (parameters, optimiser's state, Extra), the same on every device: only rows differ there.

    With `finite` the parameters and the optimiser's state are known to be.
    """
    (params, opt_state, extra), (old_params, old_opt_state, old_extra) = new, old
    found = spoilt(extra.shared, old_extra.shared)
    if not finite:
        found |= spoilt((params, opt_state), (old_params, old_opt_state), set(paths(params)))
    if extra.rows is old_extra.rows:
        return found
    return found | (reduce(spoilt(extra.rows, old_extra.rows).astype(jnp.int32)) > 0)


def move_averages(game: Game, state: TrainState, before: Mapping[str, jax.Array]) -> TrainState:
    """The named averages after the step's last turn; a leaf that no turn has moved in it keeps its average.

    `before` are the counts of skipped updates as the step began: all of a turn's were skipped if its count grew by all.
    """
    mask = game.moving(state.params)
    moving, _ = split(state.params, mask)
    still, _ = split(_unmoved(game, state, before), mask)
    averages = {}
    for name, average in game.averages.items():
        old = state.averages[name]
        new = average.update(old, moving, state.step, game.batch_size)
        averages[name] = jax.tree.map(jnp.where, still, old, new)
    return state.replace(averages=averages)


def _unmoved(game: Game, state: TrainState, before: Mapping[str, jax.Array]) -> Any:
    """For each leaf of the parameters whether all updates of all turns that own it were skipped in this step."""

    def of(turn: Turn) -> Any:
        idle = state.skipped[turn.name] == before[turn.name] + turn.repeat
        return jax.tree.map(lambda selected: idle if selected else jnp.bool_(True), turn.trainable(state.params))

    return jax.tree.map(lambda *turns: functools.reduce(jnp.logical_and, turns), *map(of, game.turns))


def averaged(state: TrainState, name: str | None) -> Variables:
    """The variables with the named average in place of the leaves it holds; None: the parameters themselves."""
    if name is None:
        return state.variables
    return Variables(join(state.averages[name], state.params), state.extra)
