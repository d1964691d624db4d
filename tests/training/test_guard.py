"""A spoilt update leaves everything bit for bit as it was, is counted, and on any devices alike."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.core.masks import paths
from jaxgen.errors import UserError
from jaxgen.training.averages import EMA
from jaxgen.training.guard import Guard, redrawn, spoilt
from jaxgen.training.optimisers import AdamW, AnyOptimiser
from jaxgen.training.parallel import Compiler, Parallel
from jaxgen.training.step import init_state, make_game
from tests.worlds import Duel, PoisonedDuel, PoisonedPictures

BATCH = 24
poisoned = functools.partial(PoisonedPictures, batch_size=BATCH)
WAYS = [Parallel(compiler=compiler, data=data) for compiler in Compiler for data in (1, 4)]


ADAM = AdamW(1e-2, weight_decay=0.1)


@functools.cache
def built(
    parallel: Parallel,
    data: PoisonedPictures,
    guard: Guard,
    optimiser: AnyOptimiser = ADAM,
    task: PoisonedDuel = PoisonedDuel(),
):
    """A compiled program, what it is fed, and its first state."""
    source, task = data.source(), task.sized(data.spec())
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    optimisers = {turn.name: optimiser for turn in task.turns()}
    game = make_game(task, shapes.params, optimisers, {"slow": EMA(500.0)}, 20, BATCH, guard=guard)
    devices = parallel.place(BATCH)
    feed = devices.put_feed(source, traced=True)
    begin = functools.partial(
        devices.begin,
        lambda key, start: init_state(game, key, functools.partial(source.init, jax.random.key(9))),
        jax.random.key(0),
        None,
    )
    return devices, feed, begin, devices.lower(game, begin(), feed, traced=True, loops=True).compile()


def after(parallel: Parallel, data: PoisonedPictures, counts: tuple[int, ...], guard: Guard = Guard(), **how):
    """For each call the state after it as host arrays, its key and source left out, and its metrics."""
    devices, feed, begin, program = built(parallel, data, guard, **how)
    state, found = begin(), []
    for count in counts:
        state, metrics = program(state, feed, np.int32(count))
        plain = devices.fetch(state)
        found.append((jax.tree.map(np.array, plain.replace(key=None, source=None)), jax.device_get(metrics)))
    return found


def unequal(first, second) -> set[str]:
    """The paths of the leaves that differ in any bit."""
    leaves = zip(paths(first), jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return {path for path, a, b in leaves if a.tobytes() != b.tobytes()}


@pytest.mark.parametrize(
    ("parallel", "poison"), [(WAYS[0], np.inf), *((parallel, np.nan) for parallel in WAYS)], ids=str
)
def test_a_spoilt_step_changes_nothing_but_its_counts(parallel, poison):
    """One row of the batch is enough, on whichever device it lies; Adam's decay and count would move otherwise."""
    data = poisoned(first=3, last=4, poison=poison)
    (before, _), (spoilt, metrics), (later, more) = after(parallel, data, (3, 2, 1))
    assert unequal(before, spoilt) == {"step", "skipped/left", "skipped/right"}
    assert int(spoilt.step) == 5 and int(spoilt.skipped["left"]) == 4 and int(spoilt.skipped["right"]) == 2
    assert float(metrics["left/skipped"].total) == 4 and float(metrics["left/skipped"].weight) == 4
    assert "params/left/kernel" in unequal(spoilt, later) and "averages/slow/left/kernel" in unequal(spoilt, later)
    assert int(later.skipped["left"]) == 0 and float(more["left/skipped"].total) == 0


def test_the_devices_do_not_matter():
    data = poisoned(first=3, last=4)  # as above: their programs serve both
    one, metrics = after(WAYS[0], data, (6,))[0]
    for parallel in WAYS[1:]:
        many, same = after(parallel, data, (6,))[0]
        for path, a, b in zip(paths(one), jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6, err_msg=path)
        for name, mean in metrics.items():
            assert float(same[name].value) == pytest.approx(float(mean.value), rel=2e-6), name


def test_the_other_player_goes_on_and_so_does_its_average():
    data = poisoned(first=1, last=2, draws=(2,))
    (before, _), (after_it, _) = after(WAYS[0], data, (1, 2))
    held = {path for path in paths(before) if "right" in path and not path.startswith(("skipped", "extra"))}
    changed = unequal(before, after_it)
    assert not changed & held - {path for path in held if path.startswith("opt_state/left")}
    assert {"params/left/kernel", "averages/slow/left/kernel", "opt_state/left/0/mu/left/kernel"} <= changed


def test_the_figures_are_over_the_batches_that_are_numbers():
    """Three steps of which the middle one is spoilt: the sums are those of the other two."""
    data = poisoned(first=1, last=1)
    (_, first), (_, second), (_, third) = after(WAYS[0], data, (1, 1, 1))
    ((_, together),) = after(WAYS[0], data, (3,))
    assert float(second["left/loss"].weight) == 0 and float(second["left/accuracy"].weight) > 0
    for name in ("left/loss", "right/gradient_norm"):
        total = float(first[name].total) + float(third[name].total)
        assert np.isfinite(total) and float(together[name].total) == pytest.approx(total, rel=1e-6)


def test_a_huge_norm_is_skipped_only_under_a_limit_and_shown():
    """The loss is multiplied by 1e6 in step 1: finite, and Adam takes it unless the guard has a limit."""
    data = poisoned(first=1, last=1, poison=1e6)
    _, (free, metrics) = after(WAYS[0], data, (1, 1))
    assert int(free.skipped["left"]) == 0 and float(metrics["left/skipped"].total) == 0
    (before, _), (held, metrics) = after(WAYS[0], data, (1, 1), Guard(norm_limit=1e3))
    assert unequal(before, held) == {"step", "skipped/left", "skipped/right"}
    assert float(metrics["left/gradient_norm"].value) > 1e3


def test_patience_is_spent_once_in_the_very_update_that_ends_it():
    ((state, metrics),) = after(WAYS[0], poisoned(first=1, last=5), (6,), Guard(patience=3))
    assert int(state.skipped["right"]) == 5
    assert float(metrics["right/patience_spent"].total) == 1
    ((_, metrics),) = after(WAYS[0], poisoned(first=1, last=2), (6,), Guard(patience=3))
    assert float(metrics["right/patience_spent"].total) == 0


def test_each_rollback_draws_anew_and_touches_keys_alone():
    _, _, begin, _ = built(WAYS[0], poisoned(), Guard())
    state = begin()
    draws = {
        tuple(np.asarray(jax.random.key_data(key)))
        for number in (1, 2)
        for drawn in [redrawn(state, number)]
        for key in (drawn.key, drawn.source["key"], state.key, state.source["key"])
    }
    assert len(draws) == 6
    plain = [jax.tree.map(np.asarray, s.replace(key=None, source=None)) for s in (state, redrawn(state, 1))]
    assert not unequal(*plain)
    assert jnp.array_equal(jax.random.key_data(redrawn(state, 1).key), jax.random.key_data(redrawn(state, 1).key))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"norm_limit": 0.0}, "guard.norm_limit is 0.0"),
        ({"norm_limit": float("nan")}, "guard.norm_limit is nan"),
        ({"patience": 0}, "guard.patience is 0"),
        ({"rollbacks": -1}, "guard.rollbacks -1"),
    ],
)
def test_a_guard_that_cannot_be(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        Guard(**fields)


@dataclasses.dataclass(frozen=True)
class Faulty:
    """A user's own optimiser: in its third update a number that is not finite goes into the state, out of its own."""

    where: str = "update"  # or "memory", which no parameter shows

    def build(self, updates: int) -> optax.GradientTransformation:
        def init(params):
            return {"count": jnp.int32(0), "best": jnp.float32(jnp.inf), "memory": jax.tree.map(jnp.zeros_like, params)}

        def update(gradient, state, params):
            spoils = state["count"] == 2
            fault = {"update": 0.0, "memory": 0.0} | {self.where: jnp.where(spoils, jnp.nan, 0.0)}
            memory = jax.tree.map(lambda m: m + fault["memory"], state["memory"])
            after = {"count": state["count"] + 1, "best": state["best"], "memory": memory}
            return jax.tree.map(lambda g: -0.01 * g + fault["update"], gradient), after

        return optax.GradientTransformation(init, update)


@pytest.mark.parametrize(("parallel", "where"), [(WAYS[0], "update"), (WAYS[3], "memory")], ids=str)
def test_a_number_of_an_own_optimiser_that_is_not_finite_is_skipped_and_counted(parallel, where):
    """Its count is held with the rest, so that every later update is skipped too; its infinite `best` may stand."""
    (before, _), (spoilt, metrics) = after(parallel, poisoned(), (1, 2), optimiser=Faulty(where))
    assert {path for path in unequal(before, spoilt) if "left" in path} >= {"skipped/left"}
    assert int(before.opt_state["left"]["count"]) == 2 and int(spoilt.opt_state["left"]["count"]) == 2
    assert int(spoilt.skipped["left"]) == 4 and float(metrics["left/skipped"].total) == 4
    assert np.array_equal(before.params["left"]["kernel"], spoilt.params["left"]["kernel"])
    assert int(spoilt.opt_state["right"]["count"]) == 2 and int(spoilt.skipped["right"]) == 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((spoilt.params, spoilt.averages)))


@dataclasses.dataclass(frozen=True)
class Overflowing(PoisonedDuel):
    """A duel whose shared statistics, or the row state of one row, are spoilt in step 1 alone; its losses are sound."""

    rows_too: bool = False

    def loss(self, variables, batch, key):
        mean, aux = Duel.loss(self, variables, batch, key)
        poison = batch["poison"]  # [B]
        if self.rows_too:
            return mean, dataclasses.replace(aux, rows=aux.rows * poison[:, None])
        return mean, dataclasses.replace(aux, statistics=aux.statistics * jnp.prod(poison))


@pytest.mark.parametrize(("parallel", "rows_too"), [(WAYS[0], False), (WAYS[1], True), (WAYS[3], True)], ids=str)
def test_statistics_and_row_state_that_are_not_finite_are_skipped_on_any_devices(parallel, rows_too):
    data = poisoned(first=1, last=1)
    (before, _), (spoilt, metrics) = after(parallel, data, (1, 1), task=Overflowing(rows_too=rows_too))
    assert unequal(before, spoilt) == {"step", "skipped/left", "skipped/right"}
    assert float(metrics["left/skipped"].total) == 2 and float(metrics["left/loss"].weight) > 0


def test_what_was_not_finite_before_may_stay_so():
    old = {"best": jnp.float32(jnp.inf), "kernel": jnp.ones(2), "count": jnp.int32(1)}
    assert not bool(spoilt(old | {"kernel": jnp.zeros(2)}, old))
    assert not bool(spoilt(old | {"best": jnp.float32(jnp.nan)}, old))
    assert bool(spoilt(old | {"kernel": jnp.array([0, jnp.inf])}, old))
    params, moments = {"a": jnp.ones((2, 2))}, {"mu": {"a": jnp.ones((2, 2))}, "row": {"a": jnp.ones(2)}}
    bad = moments | {"mu": {"a": jnp.full((2, 2), jnp.nan)}}
    assert bool(spoilt((params, bad), (params, moments), {"a"}))
    assert not bool(spoilt((params, moments), (params, moments), {"a"}))
